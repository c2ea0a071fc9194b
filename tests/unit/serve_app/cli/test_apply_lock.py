"""The right to apply a file."""

import threading

import pytest
from support.release_world import World

from serve_app.cli.apply_lock import ApplyLock, held
from serve_app.cli.output import CommandError
from serve_app.cli.releases import Clock, Releases
from serve_app.cli.server import Server
from serve_app.release.commands import Lock


@pytest.fixture
def world():
    with World().served() as world:
        world.applications["gateway"] = {"status": "RUNNING", "config": {}, "message": ""}
        world.entries = dict
        yield world


@pytest.fixture
def releases(world):
    with Server(world.gateway_url, 5) as server:
        yield Releases(server)


def clock_of(world):
    return Clock(lambda: world.now, world.tick)


def test_it_is_held_for_as_long_as_the_block_lasts(world, releases):
    lock = ApplyLock(releases)
    with held(lock, clock_of(world), print):
        assert world.lock["owner"] == lock.owner
    assert world.lock is None


def test_it_is_given_back_when_the_block_fails(world, releases):
    with pytest.raises(ZeroDivisionError), held(ApplyLock(releases), clock_of(world), print):
        _ = 1 / 0
    assert world.lock is None


def test_a_dead_owner_is_waited_for(world, releases):
    said = []
    releases.lock(Lock(owner="bob@desk:1", for_s=3))
    lock = ApplyLock(releases)
    lock.acquire(clock_of(world), said.append)
    assert said == ["bob@desk:1 has the right to apply a file for 3 s; if that run is dead, this one begins then"]
    assert world.now == 1003.0
    assert world.lock["owner"] == lock.owner


def test_an_owner_that_lives_is_not_waited_for(world, releases):
    releases.lock(Lock(owner="bob", for_s=3))
    clock = Clock(lambda: world.now, lambda _: releases.lock(Lock(owner="bob", for_s=3)))
    with pytest.raises(CommandError, match="bob has the right to apply a file for 3 s and renews it"):
        ApplyLock(releases).acquire(clock, print)


def test_it_is_renewed_in_between(world, releases):
    lock, renewed = ApplyLock(releases), threading.Event()
    renew = lock.renew
    lock.renew = lambda: (renew(), renewed.set())
    with held(lock, clock_of(world), print, renewal_s=0.001):
        assert renewed.wait(30)


def test_a_run_that_lost_it_stops(world, releases):
    lock = ApplyLock(releases)
    lock.acquire(clock_of(world), print)
    lock.check()
    world.lock = {"owner": "bob", "until": world.now + 20}
    lock.renew()
    with pytest.raises(CommandError, match="bob applies a file now"):
        lock.check()


def test_a_controller_that_is_away_does_not_end_the_run(world, releases):
    lock = ApplyLock(releases)
    lock.acquire(clock_of(world), print)
    world.away = True
    lock.renew()
    lock.check()
    lock.release()
