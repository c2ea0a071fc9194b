from __future__ import annotations

from dataclasses import replace

import pytest

from serve_app.config.rollout import RolloutConfig
from serve_app.release.counts import ArmCounts
from serve_app.release.messages import Shadow
from serve_app.release.records import Phase, RolloutRecord, Routing
from serve_app.release.rollout import (
    Sight,
    advance,
    arms_of,
    live_of,
    next_stage,
    rolled_back,
    routing_of,
    stages_of,
    window_of,
)

CANARY = {
    "strategy": "canary",
    "steps": [{"percent": 10, "seconds": 30}, {"percent": 50, "seconds": 60}],
    "gates": [{"metric": "error_rate", "max_increase": 0.01, "min_requests": 100}],
}


def rollout(phase: Phase = Phase.WAITING, step: int = 0, **config) -> RolloutRecord:
    return RolloutRecord(
        "7",
        "digits",
        Routing({"v1": 100.0}, {"stable": "v1"}),
        Routing({"v2": 100.0}, {"stable": "v2"}),
        RolloutConfig.model_validate(config or CANARY).model_dump(mode="json"),
        "base",
        phase,
        step,
        step_began_s=100.0,
        started_s=50.0,
    )


def sight(now_s: float = 100.0, ready: str = "", **counts: ArmCounts) -> Sight:
    return Sight(now_s, {"v1": "", "v2": ready}, counts)


GOOD = {"v1": ArmCounts(requests=900), "v2": ArmCounts(requests=100)}


def test_a_rollout_waits_with_its_traffic_where_it_was_until_the_new_version_is_ready():
    waiting = advance(rollout(), sight(ready="it is starting"))
    assert (waiting.phase, waiting.reason) == (Phase.WAITING, "v2: it is starting")
    assert routing_of(waiting) == Routing({"v1": 100.0, "v2": 0.0}, {"stable": "v1"})
    assert advance(waiting, sight()).phase is Phase.RUNNING


def test_a_version_no_gateway_knows_is_waited_for():
    assert advance(rollout(), Sight(100.0, {})).reason == "v2: no gateway knows it"


def test_a_version_that_is_not_ready_in_time_fails_the_rollout_and_gets_nothing():
    late = advance(rollout(**CANARY, ready_timeout_s=40), sight(90.1, "its constructor raised"))
    assert late.phase is Phase.FAILED
    assert late.reason == "not ready within 40 s - v2: its constructor raised"
    assert routing_of(late).traffic == {"v1": 100.0}


@pytest.mark.parametrize("strategy", ["all-at-once", "blue_green"])
def test_blue_green_moves_everything_at_once_when_ready(strategy):
    done = advance(rollout(strategy=strategy), sight())
    assert done.phase is Phase.SUCCEEDED
    assert routing_of(done) == Routing({"v2": 100.0}, {"stable": "v2"})


def test_a_canary_goes_through_its_steps_and_moves_labels_at_the_end():
    first = advance(rollout(), sight(100.0))
    assert routing_of(first) == Routing({"v1": 90.0, "v2": 10.0}, {"stable": "v1"})
    second = advance(first, sight(130.0, **GOOD))
    assert (second.phase, second.step, second.step_began_s) == (Phase.RUNNING, 1, 130.0)
    assert routing_of(second).traffic == {"v1": 50.0, "v2": 50.0}
    last = advance(second, sight(190.0, **GOOD))
    assert (last.phase, last.ended_s) == (Phase.SUCCEEDED, 190.0)
    assert routing_of(last).labels == {"stable": "v2"}


def test_a_step_is_held_for_its_time_and_until_the_gates_have_their_sample():
    early = advance(rollout(Phase.RUNNING), sight(129.0, **GOOD))
    assert (early.phase, early.step, early.reason) == (Phase.RUNNING, 0, "1 s of this step are left")
    few = advance(rollout(Phase.RUNNING), sight(1000.0, v1=ArmCounts(requests=900), v2=ArmCounts(requests=99)))
    assert (few.phase, few.step) == (Phase.RUNNING, 0)
    assert "error_rate" in few.reason


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.PAUSED])
def test_a_gate_that_fails_gives_the_traffic_back_at_once(phase):
    bad = {"v1": ArmCounts(requests=900), "v2": ArmCounts(requests=100, errors=30)}
    failed = advance(rollout(phase), sight(101.0, **bad))
    assert (failed.phase, failed.ended_s) == (Phase.ROLLED_BACK, 101.0)
    assert "error_rate" in failed.reason
    assert routing_of(failed) == Routing({"v1": 100.0}, {"stable": "v1"})
    assert failed.verdicts[0]["outcome"] == "failed"


def test_without_automatic_each_step_ends_with_a_person():
    paused = advance(rollout(Phase.RUNNING, **CANARY, automatic=False), sight(130.0, **GOOD))
    assert (paused.phase, paused.step) == (Phase.PAUSED, 0)
    assert routing_of(paused).traffic == {"v1": 90.0, "v2": 10.0}
    assert advance(paused, sight(9999.0, **GOOD)).phase is Phase.PAUSED
    assert (next_stage(paused, 200.0).phase, next_stage(paused, 200.0).step) == (Phase.RUNNING, 1)


def test_what_is_over_stays_so():
    over = rolled_back(rollout(Phase.RUNNING), 200.0, "asked for")
    assert advance(over, sight(300.0, **GOOD)) is over


def test_each_step_counts_in_a_window_of_its_own_and_what_is_over_in_none():
    assert window_of(rollout(Phase.RUNNING, 1)) == "digits:7:1"
    assert window_of(rollout(Phase.SUCCEEDED)) == ""


def test_a_gate_that_compares_answers_has_the_new_version_asked_too():
    gates = [{"metric": "disagreement", "max": 0.02}]
    record = rollout(Phase.RUNNING, **{**CANARY, "gates": gates}, shadow_percent=25)
    declared = (Shadow("v3", 5.0), Shadow("v2", 1.0))
    assert live_of(record, declared).shadows == (Shadow("v3", 5.0), Shadow("v2", 25.0))
    assert live_of(replace(record, phase=Phase.SUCCEEDED), declared).shadows == declared


def test_a_shadow_gets_copies_and_no_traffic_until_its_time_is_over():
    record = advance(rollout(strategy="shadow", shadow_seconds=20, shadow_percent=50), sight(100.0))
    live = live_of(record, ())
    assert (live.traffic, live.shadows) == ({"v1": 100.0, "v2": 0.0}, (Shadow("v2", 50.0),))
    assert advance(record, sight(119.0)).phase is Phase.RUNNING
    assert advance(record, sight(120.0)).phase is Phase.SUCCEEDED


def test_the_arms_are_those_that_lose_and_those_that_win_traffic():
    record = replace(
        rollout(), before=Routing({"v1": 60.0, "v2": 30.0, "v0": 10.0}), after=Routing({"v1": 10.0, "v2": 90.0})
    )
    arms = arms_of(record)
    assert (arms.stable, arms.new) == (("v1", "v0"), ("v2",))
    stable, new = arms.counts({"v1": ArmCounts(requests=6), "v0": ArmCounts(requests=1), "v2": ArmCounts(requests=9)})
    assert (stable.requests, new.requests) == (7, 9)


def test_a_mix_of_versions_moves_by_the_step_s_share():
    record = replace(
        rollout(Phase.RUNNING), before=Routing({"v1": 80.0, "v2": 20.0}), after=Routing({"v2": 50.0, "v3": 50.0})
    )
    assert routing_of(record).traffic == {"v1": 72.0, "v2": 23.0, "v3": 5.0}


def test_stages_are_those_of_the_strategy():
    assert stages_of(RolloutConfig()) == ()
    assert [stage.percent for stage in stages_of(RolloutConfig.model_validate(CANARY))] == [10, 50]
