from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from support.controllers import Clock, FakeApplications, FakeGateway, MemoryStore
from support.waiting import until

from serve_app.config.rollout import RolloutConfig
from serve_app.errors import CommandRefused, ControllerAway
from serve_app.observability.metrics import NoMetrics
from serve_app.release.commands import Promote, RollBack, StartRollout
from serve_app.release.controller import Controller
from serve_app.release.records import Phase, Routing
from serve_app.release.rollouts import SUPERSEDED_AFTER_S, said, same_routing

TABLE = {"digits": {"traffic": {"v1": 100, "v2": 0}, "labels": {"stable": "v1"}}}
FINAL = {"digits": {"traffic": {"v2": 100}, "labels": {"stable": "v2"}}}
GATE = {"metric": "error_rate", "max_increase": 0.01, "min_requests": 50}
CANARY = {
    "strategy": "canary",
    "steps": [{"percent": 10, "seconds": 5}, {"percent": 50, "seconds": 5}],
    "gates": [GATE],
}


class World:
    """A controller, two gateways, and a clock; the store outlives controllers."""

    def __init__(self, *ready: str) -> None:
        self.clock, self.store = Clock(), MemoryStore()
        self.applications = FakeApplications("digits-v1", "digits-v2")
        self.gateways = [FakeGateway(name, TABLE, *(ready or ("digits-v1", "digits-v2"))) for name in "ab"]
        self.controller = self.new_controller()

    def new_controller(self) -> Controller:
        return Controller(self.store, self.applications, NoMetrics(), clock=self.clock)

    async def turns(self, seconds: float = 1.0, **counts: int) -> None:
        """Gateways report, the controller looks, gateways report again."""
        for gateway in self.gateways:
            await gateway.exchange(self.controller)
        for gateway in self.gateways if counts else ():
            gateway.counted("digits", "v1", requests=counts.get("old", 1000))
            gateway.counted("digits", "v2", requests=counts["new"], errors=counts.get("errors", 0))
            await gateway.exchange(self.controller)
        self.clock.passes(seconds)
        for gateway in self.gateways:
            await gateway.exchange(self.controller)
        await self.controller.look()
        for gateway in self.gateways:
            await gateway.exchange(self.controller)

    async def restart(self) -> None:
        """The controller is killed, and another one begins."""
        self.controller = self.new_controller()
        saved = self.store.load()
        self.controller.rollouts.restore(saved.rollouts, saved.revision)
        for record in saved.counts:
            self.controller.gateways.restore(record)

    async def start(self, traffic=None, **config):
        command = StartRollout(
            model="digits",
            traffic=traffic or {"v2": 100},
            labels={"stable": "v2"},
            rollout=RolloutConfig.model_validate(config or CANARY),
            actor="ann",
        )
        return await self.controller.command(command)

    async def roll_back(self, reason: str = ""):
        return await self.controller.command(RollBack(model="digits", reason=reason, actor="ann"))

    def traffic(self) -> list[dict[str, float]]:
        return [gateway.traffic("digits") for gateway in self.gateways]

    @property
    def record(self):
        return self.controller.rollouts.records["digits"]


@pytest.fixture
async def world() -> World:
    made = World()
    await made.turns()
    return made


async def test_a_good_canary_is_promoted_step_by_step_at_every_gateway(world):
    assert (await world.start())["phase"] == "waiting"
    await world.turns()
    assert world.traffic() == [{"v1": 90.0, "v2": 10.0}] * 2
    await world.turns(5.0, new=100)
    assert world.traffic() == [{"v1": 50.0, "v2": 50.0}] * 2
    await world.turns(5.0, new=100)
    assert world.record.phase is Phase.SUCCEEDED
    assert world.traffic() == [{"v2": 100.0}] * 2
    kinds = Counter(event.kind for event in world.store.all_events.values())
    assert kinds == {"rollout_started": 1, "step": 2, "succeeded": 1}


async def test_a_bad_canary_is_rolled_back_and_says_why(world):
    await world.start()
    await world.turns()
    await world.turns(1.0, new=100, errors=20)
    assert world.record.phase is Phase.ROLLED_BACK
    assert "error_rate" in world.record.reason
    assert world.traffic() == [{"v1": 100.0}] * 2
    assert [event.actor for event in world.store.all_events.values()][-1] == "gate"


async def test_a_version_that_is_not_ready_gets_nothing_and_fails_in_time():
    world = World("digits-v1")
    await world.turns()
    await world.start(strategy="blue_green", ready_timeout_s=10)
    await world.turns(9.0)
    assert world.traffic() == [{"v1": 100.0}] * 2
    await world.turns(2.0)
    assert (world.record.phase, "it is starting" in world.record.reason) == (Phase.FAILED, True)
    assert world.traffic() == [{"v1": 100.0}] * 2


async def test_blue_green_waits_for_the_last_gateway(world):
    world.gateways[1].ready.discard("digits-v2")
    await world.turns()
    await world.start(strategy="blue_green")
    await world.turns()
    assert world.traffic() == [{"v1": 100.0}] * 2
    world.gateways[1].ready.add("digits-v2")
    await world.turns()
    assert world.traffic() == [{"v2": 100.0}] * 2


async def test_a_done_rollout_is_rolled_back_also_after_the_table_was_declared(world):
    await world.start(strategy="blue_green")
    await world.turns()
    for gateway in world.gateways:
        gateway.declare(FINAL)  # which does not name v1 any more
    await world.turns()
    assert world.traffic() == [{"v2": 100.0}] * 2
    assert (await world.roll_back("it is slow"))["phase"] == "rolled_back"
    await world.turns()
    assert world.traffic() == [{"v1": 100.0}] * 2
    assert (await world.roll_back())["reason"] == "it is slow"


async def test_a_table_that_was_declared_and_is_not_known_yet_does_not_hide_the_rollout(world):
    await world.start(strategy="blue_green")
    await world.turns()
    for gateway in world.gateways:
        gateway.declare(FINAL)
        await world.controller.exchange(gateway.report())
    assert world.controller.gateways.wants_declared
    assert world.controller.rollouts.routing("digits").traffic == {"v2": 100.0}


async def test_the_old_version_is_held_ready_for_as_long_as_it_is_kept(world):
    await world.start(strategy="blue_green", keep_for_s=60)
    await world.turns()
    for gateway in world.gateways:
        gateway.declare(FINAL)
    await world.turns()
    assert [gateway.live.models["digits"].kept for gateway in world.gateways] == [("v1",)] * 2
    await world.turns(60.0)
    assert [gateway.live.models for gateway in world.gateways] == [{}] * 2
    await world.applications.delete(["digits-v1"])
    with pytest.raises(CommandRefused, match="no application runs it"):
        await world.roll_back()


async def test_a_rollout_that_is_over_does_not_come_back_with_the_first_table(world):
    await world.start(strategy="blue_green")
    await world.turns()
    for table, answering in ((FINAL, {"v2": 100.0}), (TABLE, {"v1": 100.0})):
        for gateway in world.gateways:
            gateway.declare(table)
        await world.turns(SUPERSEDED_AFTER_S)
        await world.turns(SUPERSEDED_AFTER_S)
        assert world.traffic() == [answering] * 2
    assert world.record.phase is Phase.SUCCEEDED
    await world.restart()
    await world.turns()
    assert world.traffic() == [{"v1": 100.0}] * 2


async def test_a_rollback_to_a_version_that_is_gone_is_refused(world):
    await world.start(strategy="blue_green")
    await world.turns()
    for gateway in world.gateways:
        gateway.ready.discard("digits-v1")
    await world.turns()
    with pytest.raises(CommandRefused, match="v1: it is starting"):
        await world.roll_back()
    assert world.traffic() == [{"v2": 100.0}] * 2


async def test_there_must_be_a_rollout_to_roll_back_or_promote(world):
    with pytest.raises(CommandRefused, match="no rollout that could be rolled back"):
        await world.roll_back()
    with pytest.raises(CommandRefused, match="no rollout under way"):
        await world.controller.command(Promote(model="digits"))


async def test_the_same_rollout_is_not_started_twice_and_another_one_is_refused(world):
    first = await world.start()
    assert (await world.start())["id"] == first["id"]
    with pytest.raises(CommandRefused, match="under way"):
        await world.start({"v2": 50, "v1": 50})
    await world.roll_back()
    assert (await world.start())["id"] != first["id"]


async def test_one_that_is_done_is_not_started_again(world):
    first = await world.start(strategy="blue_green")
    await world.turns()
    assert (await world.start(strategy="blue_green"))["id"] == first["id"]


async def test_a_model_that_no_gateway_serves_is_refused(world):
    with pytest.raises(CommandRefused, match="'cats'"):
        await world.controller.command(StartRollout(model="cats", traffic={"v1": 100}))


async def test_a_person_promotes_what_waits_for_one(world):
    await world.start(**CANARY, automatic=False)
    await world.turns()
    with pytest.raises(CommandRefused, match="does not wait for a person"):
        await world.controller.command(Promote(model="digits"))
    await world.turns(5.0, new=100)
    assert world.record.phase is Phase.PAUSED
    await world.controller.command(Promote(model="digits", actor="ann"))
    assert world.record.step == 1
    await world.controller.command(Promote(model="digits", force=True, actor="ann"))
    await world.turns()
    assert world.traffic() == [{"v2": 100.0}] * 2


async def test_what_is_not_ready_cannot_be_forced(world):
    for gateway in world.gateways:
        gateway.ready.discard("digits-v2")
    await world.turns()
    await world.start()
    with pytest.raises(CommandRefused, match="before it is ready"):
        await world.controller.command(Promote(model="digits", force=True))


async def test_a_version_that_died_gets_no_more_until_it_is_ready_again(world):
    await world.start(**CANARY, automatic=False)
    await world.turns()
    world.gateways[1].ready.discard("digits-v2")
    await world.turns(5.0, new=100)
    assert world.record.reason == "v2: it is starting"
    world.gateways[1].ready.add("digits-v2")
    await world.turns()
    assert world.record.phase is Phase.PAUSED
    world.gateways[0].ready.discard("digits-v2")
    await world.turns()
    with pytest.raises(CommandRefused, match="without force: v2: it is starting"):
        await world.controller.command(Promote(model="digits"))
    assert world.traffic() == [{"v1": 90.0, "v2": 10.0}] * 2


async def test_without_any_gateway_nothing_goes_forward(world):
    await world.start()
    await world.turns()
    await world.turns(1.0, new=100)
    world.clock.passes(60.0)
    await world.controller.look()
    assert (world.record.step, world.record.reason) == (0, "v2: no gateway reports")


async def test_a_killed_controller_goes_on_where_it_was(world):
    await world.start()
    await world.turns()
    await world.turns(2.0, new=60)
    await world.restart()
    await world.turns(3.0)
    assert world.traffic() == [{"v1": 50.0, "v2": 50.0}] * 2
    await world.restart()
    await world.turns(5.0, new=100)
    assert world.traffic() == [{"v2": 100.0}] * 2


async def test_while_the_database_is_away_nothing_goes_forward_and_a_rollback_does(world):
    await world.start()
    await world.turns()
    world.store.away = "connection refused"
    await world.turns(5.0, new=100)
    assert world.traffic() == [{"v1": 90.0, "v2": 10.0}] * 2
    assert "connection refused" in world.record.reason
    await world.roll_back()
    await world.turns()
    assert world.traffic() == [{"v1": 100.0}] * 2
    world.store.away = ""
    await world.turns()
    assert world.store.rollouts["digits"].phase is Phase.ROLLED_BACK


async def test_a_step_that_waited_for_the_database_is_made_when_it_is_back(world):
    await world.start()
    await world.turns()
    world.store.away = "connection refused"
    await world.turns(5.0, new=100)
    world.store.away = ""
    await world.turns()
    assert world.traffic() == [{"v1": 50.0, "v2": 50.0}] * 2


async def test_a_rollout_that_cannot_be_kept_does_not_begin(world):
    world.store.away = "connection refused"
    with pytest.raises(ControllerAway, match="connection refused"):
        await world.start()
    assert world.controller.rollouts.records == {}


async def test_what_cannot_be_kept_is_not_promoted(world):
    await world.start(**CANARY, automatic=False)
    await world.turns()
    await world.turns(5.0, new=100)
    world.store.away = "connection refused"
    with pytest.raises(ControllerAway, match="connection refused"):
        await world.controller.command(Promote(model="digits"))
    assert (world.record.phase, world.record.step) == (Phase.PAUSED, 0)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("serve_app.release.controller.KEEP_S", 0.02)
    monkeypatch.setattr("serve_app.release.rollouts.PATIENCE_S", 0.02)


async def test_a_gate_rolls_back_though_the_database_does_not_answer(world, impatient):
    await world.start()
    await world.turns()
    world.store.answers.clear()
    try:
        await world.turns(5.0, new=100)
        assert world.traffic() == [{"v1": 90.0, "v2": 10.0}] * 2
        assert world.record.reason == "the next step waits for the database: it does not answer"
        await world.turns(1.0, new=100, errors=50)
        assert world.traffic() == [{"v1": 100.0}] * 2
    finally:
        world.store.answers.set()
    await world.controller.close()
    assert world.store.rollouts["digits"].phase is Phase.ROLLED_BACK


async def test_a_person_rolls_back_though_a_step_waits_for_the_database(world, impatient):
    await world.start()
    await world.turns()
    await world.turns(1.0, new=100)
    world.clock.passes(5.0)
    for gateway in world.gateways:
        await gateway.exchange(world.controller)
    world.store.answers.clear()
    look = asyncio.create_task(world.controller.look())
    try:
        await until(lambda: world.controller.journal.is_busy)
        assert (await world.roll_back())["phase"] == "rolled_back"
    finally:
        world.store.answers.set()
    await look
    await world.controller.close()
    assert world.record.phase is Phase.ROLLED_BACK
    assert world.store.rollouts["digits"].phase is Phase.ROLLED_BACK
    await world.turns()
    assert world.traffic() == [{"v1": 100.0}] * 2


async def test_a_rollout_that_cannot_be_looked_after_holds_up_no_other(world, caplog):
    await world.start()
    records = world.controller.rollouts.records
    broken = replace(records["digits"], model="cats", phase=Phase.RUNNING, samples={"new": {"errors": {"no": 1}}})
    world.controller.rollouts.records = {"cats": broken, **records}
    await world.controller.rollouts.look()
    assert "could not look after the rollout of cats" in caplog.text
    assert world.record.phase is Phase.RUNNING


async def test_a_table_that_somebody_declares_meanwhile_holds(world):
    await world.start()
    await world.turns()
    for gateway in world.gateways:
        gateway.declare({"digits": {"traffic": {"v1": 70, "v2": 30}}})
    await world.turns(1.0)
    assert world.traffic() == [{"v1": 70.0, "v2": 30.0}] * 2
    assert world.record.phase is Phase.RUNNING
    await world.turns(SUPERSEDED_AFTER_S)
    assert world.record.phase is Phase.SUPERSEDED
    assert world.controller.rollouts.routing("digits").traffic == {"v1": 70.0, "v2": 30.0}


async def test_a_label_alone_moves_when_its_version_is_ready(world):
    await world.start({"v1": 100}, **CANARY)
    await world.turns()
    assert world.record.phase is Phase.SUCCEEDED
    assert world.controller.rollouts.routing("digits") == Routing({"v1": 100.0}, {"stable": "v2"})


async def test_what_has_or_may_get_traffic_is_wanted(world):
    assert world.controller.rollouts.wanted() == {"digits-v1"}
    await world.start()
    assert world.controller.rollouts.wanted() == {"digits-v1", "digits-v2"}
    await world.turns()
    await world.turns(5.0, new=100)
    await world.turns(5.0, new=100)
    assert world.controller.rollouts.wanted() == {"digits-v2"}


async def test_what_a_rollback_gives_traffic_back_to_is_wanted_also_while_it_has_none(world):
    await world.start(strategy="canary", steps=[{"percent": 100, "seconds": 5}])
    await world.turns()
    assert world.traffic() == [{"v2": 100.0}] * 2
    assert world.controller.rollouts.wanted() == {"digits-v1", "digits-v2"}


async def test_a_model_that_no_table_has_any_more_wants_nothing_even_if_it_once_had_a_rollout(world):
    await world.start(strategy="all-at-once")
    await world.turns()
    assert world.record.phase is Phase.SUCCEEDED
    for gateway in world.gateways:
        gateway.declare({"wine": {"traffic": {"v1": 100}}})
    assert world.controller.rollouts.wanted() == {"digits-v2"}  # nobody has told yet
    for gateway in world.gateways:
        await gateway.exchange(world.controller)
    assert world.controller.rollouts.wanted() == {"wine-v1"}


async def test_the_revision_grows_with_each_change_and_over_restarts(world):
    before = world.controller.rollouts.revision
    await world.start()
    await world.turns()
    after = world.controller.rollouts.revision
    assert after > before
    await world.turns()
    assert world.controller.rollouts.revision == after
    await world.restart()
    assert world.controller.rollouts.revision > after


async def declare(world, table) -> None:
    for gateway in world.gateways:
        gateway.declare(table)
    await world.turns()
    await world.turns(SUPERSEDED_AFTER_S)


async def test_a_table_that_is_declared_again_holds_though_a_rollout_stood_in_for_it_once(world):
    await world.start(strategy="blue_green")
    await world.turns()
    await declare(world, FINAL)
    await declare(world, TABLE)
    assert world.traffic() == [{"v1": 100.0}] * 2
    assert world.controller.rollouts.routing("digits").traffic == {"v1": 100.0, "v2": 0.0}
    await world.restart()
    await world.turns()
    assert world.traffic() == [{"v1": 100.0}] * 2


async def test_a_rollout_whose_table_is_gone_can_still_be_rolled_back(world):
    await world.start(strategy="blue_green")
    await world.turns()
    await declare(world, FINAL)
    await world.roll_back()
    await world.turns()
    assert world.traffic() == [{"v1": 100.0}] * 2


async def test_a_rollout_that_fails_leaves_the_traffic_where_another_one_had_put_it(world):
    await world.start(strategy="blue_green")
    await world.turns()
    await world.start({"v3": 100}, strategy="blue_green", ready_timeout_s=10)
    await world.turns(11.0)
    assert world.record.phase is Phase.FAILED
    assert world.traffic() == [{"v2": 100.0}] * 2
    assert world.controller.rollouts.routing("digits").traffic == {"v2": 100.0}


async def test_a_version_that_neither_the_table_names_nor_an_application_runs_gets_no_traffic_back(world):
    await world.start(strategy="blue_green", keep_for_s=0)
    await world.turns()
    await declare(world, FINAL)
    await world.applications.delete(["digits-v1"])
    with pytest.raises(CommandRefused, match="v1: no application runs it"):
        await world.roll_back()
    world.applications.running = unreachable
    assert (await world.roll_back())["phase"] == "rolled_back"


async def unreachable():
    raise RuntimeError("the cluster is busy")


async def test_a_rollback_that_could_hold_nowhere_is_refused_while_gateways_disagree(world):
    await world.start(strategy="blue_green")
    await world.turns()
    await declare(world, FINAL)
    await world.restart()
    with pytest.raises(CommandRefused, match="do not agree yet"):
        await world.roll_back()
    await world.turns()
    await world.roll_back()
    await world.turns()
    assert world.traffic() == [{"v1": 100.0}] * 2


async def reborn(world, table) -> None:
    """The cluster is started anew from a file: other gateways, another controller, the same database."""
    world.gateways = [FakeGateway(name, table, "digits-v1", "digits-v2") for name in "cd"]
    await world.restart()
    await world.turns()
    await world.turns()


BOTH = {"digits": FINAL["digits"] | {"traffic": {"v2": 100, "v1": 0}}}


async def test_a_cluster_that_is_started_anew_from_the_file_goes_on_with_its_canary(world):
    await world.start()
    await world.turns()
    await reborn(world, BOTH)
    assert world.traffic() == [{"v1": 90.0, "v2": 10.0}] * 2
    await world.turns(SUPERSEDED_AFTER_S + 1)
    assert world.record.phase is Phase.RUNNING


async def test_what_a_gate_rolled_back_does_not_come_back_with_a_restart_and_does_when_it_is_declared(world):
    await world.start()
    await world.turns()
    await world.turns(1.0, new=100, errors=20)
    await reborn(world, BOTH)
    assert world.traffic() == [{"v1": 100.0}] * 2
    await declare(world, TABLE)
    await world.turns(SUPERSEDED_AFTER_S + 1)
    await declare(world, BOTH)
    assert world.traffic() == [{"v2": 100.0}] * 2


async def test_a_cluster_that_is_started_from_another_file_does_as_that_says(world):
    await world.start()
    await world.turns()
    await reborn(world, {"digits": {"traffic": {"v1": 60, "v2": 40}}})
    assert world.traffic() == [{"v1": 60.0, "v2": 40.0}] * 2


async def test_traffic_that_a_declared_table_moves_is_an_event_and_what_a_rollout_moved_is_not_told_twice(world):
    await world.turns()
    await world.start(strategy="blue_green")
    await world.turns()
    await declare(world, BOTH)
    await world.turns()
    assert "declared" not in {event.kind for event in world.controller.events.last}
    await declare(world, {"digits": {"traffic": {"v1": 70, "v2": 30}}})
    await world.turns()
    (event,) = (event for event in world.controller.events.last if event.kind == "declared")
    assert event.text == "digits is answered by v1 70%, v2 30%, as its traffic table was declared"


def test_versions_without_traffic_make_no_difference():
    assert same_routing(Routing({"v1": 100.0}), Routing({"v1": 100.0, "v2": 0.0}))
    assert not same_routing(Routing({"v1": 100.0}), Routing({"v1": 100.0}, {"stable": "v1"}))
    assert said(Routing({"v1": 90.0, "v2": 10.0, "v3": 0.0})) == "v1 90%, v2 10%"
