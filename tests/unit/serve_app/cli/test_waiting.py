"""The waits of an apply."""

import pytest
from support.release_world import World, release, serve_file

from serve_app.cli.output import CommandError
from serve_app.cli.releases import Clock, Releases
from serve_app.cli.serve_rest import ServeRest
from serve_app.cli.server import Server
from serve_app.cli.waiting import Awaited, NotReady, Watch
from serve_app.release.overview import RolloutState
from serve_app.release.records import Phase, Routing

DATA = serve_file({"digits": {"traffic": {"v1": 100}}}, [release("digits", "v1")])
V1 = Awaited("digits-v1", "digits", "v1", timeout_s=30)


class Board:
    def __init__(self):
        self.lines = []

    def show(self, lines, keys):
        self.lines += [line for group in lines.values() for line in group]


@pytest.fixture
def world():
    with World().served() as world:
        world.deploy(DATA)
        yield world


@pytest.fixture
def watch(world):
    with Server(world.dashboard_url, 5) as dashboard, Server(world.gateway_url, 5) as gateway:
        clock = Clock(lambda: world.now, world.tick)
        yield Watch(ServeRest(dashboard), Releases(gateway), clock, Board(), lambda: None)


def test_readiness_is_waited_for_with_its_reason(world, watch):
    watch.until_ready([V1], {"digits": Routing({"v1": 100})})
    assert world.now == 1000.5
    assert watch.board.lines == ["gateway: the controller of releases is away (status 503)"]


def test_a_failure_is_final(world, watch):
    world.broken = {"digits-v1"}
    with pytest.raises(NotReady, match="digits-v1 is DEPLOY_FAILED: Traceback: it cannot load"):
        watch.until_ready([V1], {})


def test_what_ran_before_may_recover(world, watch):
    world.tick()
    world.applications["digits-v1"]["status"] = "UNHEALTHY"
    old = Awaited("digits-v1", "digits", "v1", timeout_s=2, is_new=False)
    with pytest.raises(NotReady, match="digits-v1 is not ready after 2 s: UNHEALTHY"):
        watch.until_ready([old], {})


def test_a_gateway_whose_controller_restarts_is_waited_for(world, watch):
    world.tick()
    world.applications["gateway"]["status"] = "UNHEALTHY"
    with pytest.raises(NotReady, match="gateway UNHEALTHY, for 2 s"):
        watch.until_running(["gateway"], 2)
    world.applications["gateway"]["status"] = "DEPLOY_FAILED"
    with pytest.raises(NotReady, match="gateway is DEPLOY_FAILED"):
        watch.until_running(["gateway"], 2)


def test_every_gateway_must_be_able_to_call_a_version(world, watch):
    world.tick()
    status = world.status

    def two_gateways():
        line = {"gateway": "g2", "revision": 1, "age_s": 0.1}
        told = status()
        return {**told, "gateways": [*told["gateways"], line]}

    world.status = two_gateways
    with pytest.raises(NotReady, match="digits-v1 is not ready after 30 s: ready at 1 of 2 gateways"):
        watch.until_ready([V1], {})


def test_a_version_no_gateway_knows_is_named(world, watch):
    world.tick()
    with pytest.raises(NotReady, match="digits v9 is not ready after 5 s: no gateway knows it yet"):
        watch.until_ready([Awaited("", "digits", "v9", timeout_s=5)], {})


def test_a_table_that_does_not_arrive_is_named(world, watch):
    world.tick()
    with pytest.raises(NotReady, match="digits: its table has not reached the gateways, for 3 s"):
        watch.until_ready([], {"digits": Routing({"v2": 100})}, timeout_s=3)


def test_a_model_that_the_gateways_still_have_is_named(world, watch):
    with pytest.raises(NotReady, match="digits: its table has not reached the gateways, for 1 s"):
        watch.until_ready((), {"digits": None}, timeout_s=1)
    watch.until_ready((), {"nobody": None}, timeout_s=1)


def test_deletions_are_waited_for(world, watch):
    watch.until_gone(["digits-v9"])
    with pytest.raises(NotReady, match="digits-v1 is being deleted, for 60 s"):
        watch.until_gone(["digits-v1"])


def test_applications_are_waited_for_without_a_gateway(world, watch):
    watch.until_running(["digits-v1"], 10)
    assert watch.board.lines == ["digits-v1: DEPLOYING"]


def test_a_gateway_that_does_not_come_is_an_error(world, watch):
    world.away = True
    with pytest.raises(CommandError, match=r"away \(status 503\); waited 4 s for it to come back"):
        watch.until_answering(4)


def started(world, **changes):
    rollout = {
        "id": "5",
        "phase": "running",
        "from": {"traffic": {"v1": 100}},
        "to": {"traffic": {"v2": 100}},
        "started_s": 10.0,
        **changes,
    }
    world.rollouts["digits"] = {"model": "digits", "step": 9, "percents": [5], "base": "", **rollout}
    return RolloutState.model_validate(rollout)


def test_a_rollout_is_watched_to_its_end(world, watch):
    world.tick()
    ended = watch.until_over({"digits": started(world)})
    assert ended["digits"].phase is Phase.SUCCEEDED


def test_another_rollout_in_its_place_supersedes_it(world, watch):
    world.tick()
    ours = started(world)
    started(world, id="6", started_s=11.0)
    ended = watch.until_over({"digits": ours})
    assert (ended["digits"].phase, ended["digits"].reason) == (Phase.SUPERSEDED, "another rollout took its place")


def test_an_older_answer_is_not_believed(world, watch):
    world.tick()
    ours = started(world)
    started(world, id="4", started_s=9.0, phase="rolled_back")
    sleep = watch.clock.sleep

    def later(seconds):
        sleep(seconds)
        if world.now > 1003:
            started(world, phase="succeeded")

    watch.clock = Clock(watch.clock.now, later)
    assert watch.until_over({"digits": ours})["digits"].phase is Phase.SUCCEEDED


def test_a_controller_that_stays_away_ends_the_wait(world, watch):
    world.tick()
    world.away = True
    with pytest.raises(CommandError, match="waited 120 s"):
        watch.until_over({"digits": started(world)})


def test_a_wait_ends_where_it_must(watch):
    def lost():
        raise CommandError("the lock is lost")

    watch.check = lost
    with pytest.raises(CommandError, match="the lock is lost"):
        watch.until_ready([V1], {})
