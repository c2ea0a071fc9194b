from __future__ import annotations

import asyncio

import pytest
from support.controllers import Clock, FakeApplications, FakeGateway, MemoryStore
from support.waiting import until

from serve_app.errors import CommandRefused, ControllerAway
from serve_app.observability.metrics import NoMetrics
from serve_app.release.commands import Keep, Lock, Retire, StartRollout, Unload, Unlock
from serve_app.release.controller import KEPT_S, Controller
from serve_app.release.messages import Feedback
from serve_app.release.records import Phase

TABLE = {"digits": {"traffic": {"v1": 100, "v2": 0}}}


class World:
    def __init__(self) -> None:
        self.clock, self.store = Clock(), MemoryStore()
        self.applications = FakeApplications("digits-v1", "digits-v2")
        self.gateway = FakeGateway("a", TABLE, "digits-v1", "digits-v2")
        self.controller = self.new_controller()

    def new_controller(self) -> Controller:
        return Controller(self.store, self.applications, NoMetrics(), clock=self.clock)


@pytest.fixture
def world() -> World:
    return World()


def move() -> StartRollout:
    return StartRollout(model="digits", traffic={"v2": 100}, actor="ann")


async def test_a_started_controller_looks_by_itself_and_another_one_goes_on(world):
    await world.controller.start()
    await world.gateway.exchange(world.controller)
    await world.controller.command(move())
    async with asyncio.timeout(10):
        while world.controller.rollouts.records["digits"].phase is not Phase.SUCCEEDED:
            await asyncio.sleep(0.01)
            await world.gateway.exchange(world.controller)
    await world.controller.close()
    other = world.new_controller()
    await other.start()
    await world.gateway.exchange(other)
    assert world.gateway.traffic("digits") == {"v2": 100.0}
    assert [event.kind for event in other.events.last] == ["succeeded", "rollout_started"]
    other.check()
    await other.close()


async def test_it_does_not_start_without_its_database(world):
    world.store.away = "connection refused"
    with pytest.raises(ControllerAway, match="connection refused"):
        await world.controller.start()


async def test_a_controller_that_stopped_looking_is_found_out(world):
    await world.controller.start()
    world.controller._watch.cancel()
    await asyncio.gather(world.controller._watch, return_exceptions=True)
    with pytest.raises(RuntimeError, match="stopped looking"):
        world.controller.check()


async def test_a_fault_while_looking_is_not_the_last_look(world, caplog):
    looks, looked_twice = [], asyncio.Event()

    async def failing() -> None:
        looks.append(1)
        if len(looks) == 2:
            looked_twice.set()
        raise ValueError("never seen before")

    world.controller.look = failing
    await world.controller.start()
    async with asyncio.timeout(10):
        await looked_twice.wait()
    assert "never seen before" in caplog.text
    world.controller.check()
    await world.controller.close()


async def test_one_at_a_time_may_apply_a_file(world):
    lock = await world.controller.command(Lock(owner="ann", for_s=30))
    assert lock == {"acquired": True, "owner": "ann", "expires_in_s": 30.0}
    world.clock.passes(10.0)
    assert await world.controller.command(Lock(owner="bob")) == {
        "acquired": False,
        "owner": "ann",
        "expires_in_s": 20.0,
    }
    assert (await world.controller.status())["lock"] == {"owner": "ann", "expires_in_s": 20.0}
    await world.controller.command(Unlock(owner="bob"))
    assert (await world.controller.status())["lock"] == {"owner": "ann", "expires_in_s": 20.0}
    assert not (await world.controller.command(Lock(owner="bob")))["acquired"]
    world.clock.passes(20.0)
    assert (await world.controller.command(Lock(owner="bob")))["acquired"]
    await world.controller.command(Unlock(owner="bob"))
    assert (await world.controller.status())["lock"] is None


async def test_a_retired_release_is_deleted_when_it_is_due(world):
    await world.gateway.exchange(world.controller)
    await world.controller.command(Retire(releases=("digits-v2", "digits-v1"), after_s=60, actor="ann"))
    assert {item["release"] for item in (await world.controller.status())["retirements"]} == {"digits-v1", "digits-v2"}
    world.clock.passes(61.0)
    await world.gateway.exchange(world.controller)
    await world.controller.look()
    assert set(world.applications.configs) == {"digits-v1"}  # it has traffic


async def test_a_command_whose_caller_leaves_is_kept_and_done_all_the_same(world):
    await world.gateway.exchange(world.controller)
    world.store.answers.clear()
    try:
        asked = asyncio.create_task(world.controller.command(move()))
        await until(lambda: world.controller.journal.is_busy)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
    finally:
        world.store.answers.set()
    await until(lambda: "digits" in world.controller.rollouts.records)
    assert world.store.rollouts["digits"] == world.controller.rollouts.records["digits"]


async def test_who_gives_back_a_lock_of_somebody_else_changes_nothing(world):
    await world.controller.command(Lock(owner="ann", for_s=30))
    await world.controller.command(Unlock(owner="bob"))
    assert (await world.controller.status())["lock"]["owner"] == "ann"


async def test_nothing_is_deleted_before_it_is_known_who_has_traffic(world):
    await world.gateway.exchange(world.controller)
    await world.controller.command(Retire(releases=("digits-v1",), after_s=60, actor="ann"))
    world.clock.passes(61.0)
    other = world.new_controller()
    await other.start()
    await other.look()
    await other.exchange(world.gateway.report())
    await other.look()
    assert "digits-v1" in world.applications.configs
    await world.gateway.exchange(other)
    await other.look()
    assert "digits-v1" in world.applications.configs
    assert other.retirements.due == {}
    await other.close()


async def test_a_table_that_is_not_known_yet_deletes_nothing(world):
    world.gateway.declare({"digits": {"traffic": {"v2": 100}}})
    await world.gateway.exchange(world.controller)
    await world.controller.command(Retire(releases=("digits-v1",), after_s=60, actor="ann"))
    world.clock.passes(61.0)
    world.gateway.declare(TABLE)
    await world.controller.exchange(world.gateway.report())
    await world.controller.look()
    assert "digits-v1" in world.applications.configs


async def test_a_release_that_is_in_the_file_again_is_kept(world):
    await world.controller.command(Retire(releases=("digits-v2",), after_s=60, actor="ann"))
    await world.controller.command(Keep(releases=("digits-v2", "cats-v1"), actor="bob"))
    assert (await world.controller.status())["retirements"] == []


async def test_feedback_for_requests_of_other_gateways_is_passed_on(world):
    other = FakeGateway("b", TABLE)
    other.feedback = (Feedback("id-1", "3"),)
    await other.exchange(world.controller)
    await world.gateway.exchange(world.controller)
    assert set(world.gateway.live.feedback) == {Feedback("id-1", "3")}


async def test_an_unknown_experiment_is_refused(world):
    with pytest.raises(CommandRefused, match="'colours'"):
        await world.controller.experiment("colours")


async def test_an_experiment_s_counters_are_kept(world):
    experiment = {"name": "colours", "control": "v1"}
    world.gateway.declare(
        {"digits": {"traffic": {"v1": 50, "v2": 50}, "sticky": {"header": "x-user"}, "experiment": experiment}}
    )
    await world.gateway.exchange(world.controller)
    world.gateway.window = lambda model: "digits:experiment:colours"
    world.gateway.counted("digits", "v2", requests=7, errors=1)
    await world.gateway.exchange(world.controller)
    await world.controller.look()
    assert world.store.counts["digits:experiment:colours", "v2", "a"].counts.requests == 7
    document = await world.controller.experiment("colours")
    assert (document["model"], document["control"]) == ("digits", "v1")
    assert {(metric["arm"], metric["metric"], metric["n"]) for metric in document["metrics"]} >= {
        ("v2", "error_rate", 7)
    }


class Deliveries:
    def __init__(self) -> None:
        self.times: list[float] = []
        self.is_closed = False

    async def deliver_due(self, now_s) -> int:
        self.times.append(now_s)
        return 0

    async def close(self) -> None:
        self.is_closed = True


async def test_events_are_delivered_with_each_look_and_old_ones_forgotten(world):
    deliveries = Deliveries()
    controller = Controller(world.store, world.applications, NoMetrics(), deliveries, world.clock)
    controller.events.happened(controller.events.made("step", "digits", "ann", "moved"))
    await controller.look()
    assert deliveries.times == [world.clock()]
    assert len(world.store.all_events) == 1
    world.clock.passes(KEPT_S + 1)
    await controller.look()
    assert world.store.all_events == {}
    await controller.close()
    assert deliveries.is_closed


async def test_a_verb_of_another_server_is_an_event_and_waits_for_whoever_applies_a_file(world):
    world.applications.configs["digits-v1"] |= {
        "import_path": "graphs.inference:build",
        "args": {"model": "digits", "version": "v1"},
    }
    await world.gateway.exchange(world.controller)
    await world.controller.command(Lock(owner="ann", for_s=30))
    with pytest.raises(CommandRefused, match="ann is applying a file"):
        await world.controller.command(Unload(model="digits", actor="bob"))
    await world.controller.command(Unlock(owner="ann"))
    await world.controller.command(Unload(model="digits", actor="bob"))
    assert "digits-v1" not in world.applications.configs
    assert [(event.kind, event.actor) for event in world.controller.events.last] == [("unload", "bob")]


async def test_nothing_is_deleted_while_a_file_is_applied(world):
    await world.gateway.exchange(world.controller)
    await world.controller.command(Retire(releases=("digits-v2",), after_s=0, actor="ann"))
    world.clock.passes(60.0)
    await world.controller.command(Lock(owner="ann", for_s=30))
    await world.gateway.exchange(world.controller)
    await world.controller.look()
    assert "digits-v2" in world.applications.configs
    await world.controller.command(Unlock(owner="ann"))
    await world.controller.look()
    assert "digits-v2" not in world.applications.configs
