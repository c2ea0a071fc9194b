from __future__ import annotations

import asyncio

import pytest
from support.controllers import Clock, FakeApplications, MemoryStore
from support.waiting import until

from serve_app.observability.metrics import NoMetrics
from serve_app.release.events import Events
from serve_app.release.journal import Journal
from serve_app.release.records import Retirement
from serve_app.release.retirements import DRAIN_S, RETRY_S, Retirements


class World:
    def __init__(self) -> None:
        self.clock, self.store = Clock(), MemoryStore()
        self.applications = FakeApplications("digits-v1", "digits-v2", "gateway")
        self.journal = Journal(self.store)
        self.events = Events(self.journal, NoMetrics(), self.clock)
        self.retirements = Retirements(self.applications, self.journal, self.events, self.clock)

    async def look(self, *wanted: str) -> set[str]:
        await self.retirements.look(wanted)
        await self.journal.write(1)
        return set(self.applications.configs)


@pytest.fixture
def world() -> World:
    return World()


async def test_a_release_is_kept_for_its_time_and_then_deleted(world):
    world.retirements.add(["digits-v1"], 60.0, "ann")
    world.clock.passes(59.0)
    assert "digits-v1" in await world.look()
    assert list(world.store.retirements) == ["digits-v1"]
    world.clock.passes(2.0)
    assert await world.look() == {"digits-v2", "gateway"}
    assert world.store.retirements == {}
    assert [event.kind for event in world.events.last] == ["retired", "retirement"]


async def test_what_is_under_way_there_has_time_to_end(world):
    world.retirements.add(["digits-v1"], 0.0, "ann")
    assert "digits-v1" in await world.look()
    world.clock.passes(DRAIN_S)
    assert "digits-v1" not in await world.look()


async def test_one_that_has_traffic_again_stays(world):
    world.retirements.add(["digits-v1"], 10.0, "ann")
    await world.look("digits-v1")
    world.clock.passes(20.0)
    assert "digits-v1" in await world.look("digits-v1")
    assert (world.retirements.due, world.store.retirements) == ({}, {})


async def test_one_that_the_gateways_table_still_has_for_a_moment_is_deleted_all_the_same(world):
    """As a model is that a file no longer has: the command comes before the gateways have their new table."""
    world.retirements.add(["digits-v1"], 0.0, "ann")
    world.clock.passes(1.0)
    await world.look("digits-v1")
    world.clock.passes(DRAIN_S)
    assert "digits-v1" not in await world.look()


async def test_one_that_has_traffic_when_it_is_due_stays(world):
    world.retirements.add(["digits-v1"], 0.0, "ann")
    world.clock.passes(DRAIN_S)
    assert "digits-v1" in await world.look("digits-v1")
    assert world.retirements.due == {}


async def test_one_that_somebody_wants_stays(world):
    world.retirements.add(["digits-v1", "digits-v2"], 10.0, "ann")
    world.retirements.keep(["digits-v2"], "bob")
    world.clock.passes(20.0)
    assert await world.look() == {"digits-v2", "gateway"}
    assert ("kept", "bob") in {(event.kind, event.actor) for event in world.events.last}


async def test_asked_twice_the_first_time_holds(world):
    world.retirements.add(["digits-v1"], 10.0, "ann")
    world.clock.passes(9.0)
    world.retirements.add(["digits-v1"], 10.0, "ann")
    world.clock.passes(2.0)
    assert "digits-v1" not in await world.look()


async def test_a_deletion_that_fails_is_tried_again(world):
    world.retirements.add(["digits-v1"], 0.0, "ann")
    world.clock.passes(DRAIN_S)
    world.applications.fault = RuntimeError("the cluster is busy")
    assert "digits-v1" in await world.look()
    world.applications.fault = None
    assert "digits-v1" in await world.look()
    world.clock.passes(RETRY_S)
    assert "digits-v1" not in await world.look()


async def test_what_was_kept_goes_on(world):
    world.retirements.restore([Retirement("digits-v2", world.clock() - 1)])
    assert "digits-v2" not in await world.look()


async def test_a_cluster_that_does_not_answer_holds_up_nobody(world, monkeypatch):
    monkeypatch.setattr("serve_app.release.retirements.PATIENCE_S", 0.01)
    asked, delete, answers = [], world.applications.delete, asyncio.Event()

    async def slow(names) -> None:
        asked.append(names)
        await answers.wait()
        await delete(names)

    world.applications.delete = slow
    world.retirements.add(["digits-v1", "digits-v2"], 0.0, "ann")
    world.clock.passes(DRAIN_S)
    await world.look()
    assert len(await world.look("digits-v2")) == 3
    answers.set()
    await until(lambda: not world.retirements.due)
    assert await world.look() == {"gateway"}
    assert len(asked) == 1
