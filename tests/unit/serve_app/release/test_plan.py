"""Plans, made from what runs."""

import pytest
from support.release_world import release, serve_file

from serve_app.config.declared import read_declared
from serve_app.errors import CommandRefused
from serve_app.release.applications import Change, Running, RunningApplication
from serve_app.release.overview import Overview
from serve_app.release.plan import AT_ONCE, Wanted, first_plan, make_plan
from serve_app.release.records import Routing

CANARY = {"strategy": "canary", "steps": [{"percent": 5}], "keep_for_s": 60}
V1 = serve_file({"digits": {"traffic": {"v1": 100}}}, [release("digits", "v1")])
V2 = serve_file({"digits": {"traffic": {"v2": 100}, "rollout": CANARY}}, [release("digits", "v2")])


def wanted(data):
    return Wanted.of(data, read_declared(data)[0])


def running(data, status="RUNNING", *more):
    apps = [*data["applications"], *more]
    return Running({app["name"]: RunningApplication(app["name"], app, status) for app in apps}, {"http_options": {}})


def overview(traffic=None, labels=None, rollout=None, retirements=()):
    model = {"traffic": traffic or {"v1": 100}, "labels": labels or {}, "rollout": rollout, "versions": {"v1": {}}}
    return Overview.model_validate({"models": {"digits": model}, "retirements": list(retirements)})


def rollout(phase, to, reason="", labels=None):
    ends = {"from": {"traffic": {"v1": 100}}, "to": {"traffic": to, "labels": labels or {}}}
    return {"id": "1", "phase": phase, "reason": reason, **ends}


def changes(plan):
    return {one.name: one.change for one in plan.applications}


def test_what_is_as_the_file_says_needs_nothing():
    assert make_plan(wanted(V1), running(V1), overview()).is_empty


def test_a_new_version_is_added_beside_the_old_one_and_its_traffic_is_moved():
    plan = make_plan(wanted(V2), running(V1), overview())
    assert changes(plan) == {"gateway": Change.KEEP, "digits-v2": Change.ADD, "digits-v1": Change.RETIRE}
    (model,) = plan.moving
    assert (model.before, model.after) == (Routing({"v1": 100.0}), Routing({"v2": 100.0}))
    assert model.first == {"traffic": {"v1": 100, "v2": 0}}
    assert model.last == {"traffic": {"v2": 100}, "rollout": CANARY}
    assert (model.awaited, model.config.strategy) == (("v2",), "canary")
    assert plan.keep_for_s(release("digits", "v1")) == 60
    assert plan.keep_for_s(release("wine", "v1")) == 0
    assert not plan.is_empty


def test_a_rollout_under_way_to_the_same_is_gone_on_with():
    both = serve_file(
        {"digits": {"traffic": {"v1": 100, "v2": 0}, "rollout": CANARY}},
        [release("digits", "v1"), release("digits", "v2")],
    )
    plan = make_plan(wanted(V2), running(both), overview({"v1": 95, "v2": 5}, rollout=rollout("running", {"v2": 100})))
    (model,) = plan.moving
    assert model.first is model.declared
    assert "under way already" in model.notes[0]


def test_a_rollout_under_way_to_another_is_superseded():
    plan = make_plan(wanted(V1), running(V1), overview(rollout=rollout("waiting", {"v2": 100})))
    (model,) = plan.moving
    assert model.notes == ("digits: another rollout is under way (waiting), which this one supersedes",)


def test_a_rollout_that_was_rolled_back_before_is_said():
    plan = make_plan(wanted(V2), running(V1), overview(rollout=rollout("rolled_back", {"v2": 100}, "too many errors")))
    assert plan.moving[0].notes == ("digits: the last rollout to this was rolled back: too many errors",)


def test_after_a_rollout_only_the_table_is_left_to_declare():
    both = serve_file(
        {"digits": {"traffic": {"v1": 100, "v2": 0}, "rollout": CANARY}},
        [release("digits", "v1"), release("digits", "v2")],
    )
    live = overview({"v2": 100}, rollout=rollout("succeeded", {"v2": 100}))
    plan = make_plan(wanted(V2), running(both), live)
    assert plan.moving == ()
    assert plan.models[0].changes


def test_what_is_retired_already_is_left_alone():
    plan = make_plan(
        wanted(V1),
        running(V1, "RUNNING", release("digits", "v0")),
        overview(retirements=[{"release": "digits-v0", "in_s": 312.0}]),
    )
    assert plan.is_empty
    assert plan.kept == {"digits-v0": 312.0}


def test_models_come_and_go():
    data = serve_file({"wine": {"traffic": {"v1": 100}}}, [release("wine", "v1")])
    plan = make_plan(wanted(data), running(V1), overview())
    new, old = plan.models
    assert (new.model, new.before, new.moves, new.awaited) == ("wine", None, False, ("v1",))
    assert (old.model, old.after, old.first, old.last) == ("digits", None, {"traffic": {"v1": 100}}, None)


def test_other_settings_of_an_entry_are_no_rollout():
    data = serve_file({"digits": {"traffic": {"v1": 100}, "sticky": {"header": "x"}}}, [release("digits", "v1")])
    plan = make_plan(wanted(data), running(V1), overview())
    assert plan.moving == ()
    assert not plan.is_empty
    assert plan.models[0].config == AT_ONCE


def test_another_thing_under_the_same_tag_is_refused():
    data = serve_file({"digits": {"traffic": {"v1": 100}}}, [release("digits", "v1", slo_ms=5)], explain=True)
    plan = make_plan(wanted(data), running(V1), overview())
    assert [one.name for one in plan.refused] == ["digits-v1"]
    assert changes(plan)["gateway"] is Change.REPLACE


def test_what_failed_and_answers_nobody_may_be_deleted():
    both = serve_file({"digits": {"traffic": {"v1": 100, "v2": 0}}}, [release("digits", "v1"), release("digits", "v2")])
    plan = make_plan(wanted(both), running(both, "DEPLOY_FAILED"), overview())
    assert changes(plan)["digits-v1"] is Change.RETRY
    assert (plan.in_use, plan.retried) == ({"digits-v1"}, {"digits-v2"})


def test_the_gateway_cannot_change_its_name():
    apps = running(V1).applications
    gateway = apps["gateway"].config
    moved = Running({**apps, "front": RunningApplication("front", gateway, "RUNNING")})
    del moved.applications["gateway"]
    with pytest.raises(CommandRefused, match="runs as application 'front' and the file calls it 'gateway'"):
        make_plan(wanted(V1), moved, overview())


def test_what_serve_takes_at_its_start_only_is_said():
    there = Running(running(V1).applications, {"http_options": {"host": "127.0.0.1", "port": 8001}})
    assert make_plan(wanted(V1), there, overview()).notes == (
        "http_options.port stays 8001: Serve takes 8000 only once it is shut down and started again",
    )


def test_a_version_inside_the_gateway_is_not_kept():
    data = serve_file({"digits": {"traffic": {"v0": 100}, "inline": {"v0": {"source": "a"}}}}, [])
    plan = make_plan(wanted(V1), running(data), overview({"v0": 100}))
    assert "v0 runs inside the gateway, which forgets it at the end" in plan.moving[0].notes[0]


def test_without_a_gateway_everything_is_new():
    plan = first_plan(wanted(V2), Running())
    assert set(changes(plan).values()) == {Change.ADD}
    assert plan.models[0].before is None


def test_a_rollout_to_the_same_traffic_with_other_labels_is_another_one():
    for labels, moves in (({"stable": "v2"}, True), ({}, False)):
        under_way = rollout("running", {"v2": 100}, labels=labels)
        state = overview(rollout=under_way).models["digits"].rollout
        assert state.after.routing.agrees_with(Routing({"v2": 100}, {"stable": "v2"})) is moves
