"""The configs that a plan deploys: each names all that must stay."""

import copy

from support.release_world import release, serve_file

from serve_app.config.declared import read_declared
from serve_app.release.applications import Running, RunningApplication
from serve_app.release.deploys import (
    fallback_config,
    first_config,
    is_deployed,
    last_config,
    redeclared,
    without,
)
from serve_app.release.overview import Overview
from serve_app.release.plan import Wanted, make_plan

V1 = serve_file({"digits": {"traffic": {"v1": 100}}}, [release("digits", "v1")])
V2 = serve_file({"digits": {"traffic": {"v2": 100}}}, [release("digits", "v2")])
LIVE = Overview.model_validate({"models": {"digits": {"traffic": {"v1": 100}}}})


def running(data):
    apps = {app["name"]: RunningApplication(app["name"], app, "RUNNING") for app in data["applications"]}
    return Running(apps, {"http_options": {"port": 8000}})


def plan(data=V2, before=V1, live=LIVE):
    return make_plan(Wanted.of(data, read_declared(data)[0]), running(before), live)


def names(config):
    return [app["name"] for app in config["applications"]]


def models(config):
    return config["applications"][0]["deployments"][0]["user_config"]["models"]


def test_first_both_versions_are_there_and_nothing_moves():
    config = first_config(plan(), running(V1))
    assert names(config) == ["gateway", "digits-v2", "digits-v1"]
    assert models(config) == {"digits": {"traffic": {"v1": 100, "v2": 0}}}
    assert config["http_options"] == V2["http_options"]


def test_at_the_end_it_is_the_file_with_what_is_retired_later():
    both = first_config(plan(), running(V1))
    config = last_config(plan(before=both), running(both), ())
    assert names(config) == ["gateway", "digits-v2", "digits-v1"]
    assert models(config) == {"digits": {"traffic": {"v2": 100}}}


def test_a_model_that_was_held_back_stays_as_it_is_declared():
    both = first_config(plan(), running(V1))
    assert models(last_config(plan(before=both), running(both), {"digits"})) == models(both)


def test_the_way_back_is_what_ran_before():
    assert fallback_config(plan(), running(V1), LIVE) == V1


def test_the_way_back_from_a_killed_runs_deployment_forgets_its_version():
    both = first_config(plan(), running(V1))
    broken = running(both)
    failed = RunningApplication("digits-v2", broken.applications["digits-v2"].config, "DEPLOY_FAILED")
    broken = Running({**broken.applications, "digits-v2": failed}, broken.options)
    again = make_plan(Wanted.of(V2, read_declared(V2)[0]), broken, LIVE)
    config = fallback_config(again, broken, LIVE)
    assert names(config) == ["gateway", "digits-v1"]
    assert models(config) == {"digits": {"traffic": {"v1": 100}}}


def test_the_way_back_keeps_live_traffic_where_the_declared_one_was_not_in_effect():
    stale = serve_file(
        {"digits": {"traffic": {"v3": 100, "v1": 0}}}, [release("digits", "v1"), release("digits", "v3")]
    )
    config = fallback_config(plan(before=stale), running(stale), LIVE)
    assert models(config) == {"digits": {"traffic": {"v3": 0, "v1": 100}}}


def test_the_way_back_leaves_another_models_rollout_alone():
    entry = {"traffic": {"v1": 100, "v2": 0}}
    before = serve_file({"digits": entry}, [release("digits", "v1")])
    data = serve_file({"digits": {"traffic": {"v2": 100}}}, [release("digits", "v2")])
    rollout = {"id": "1", "phase": "running", "from": {"traffic": {"v1": 100}}, "to": {"traffic": {"v2": 100}}}
    live = Overview.model_validate({"models": {"digits": {"traffic": {"v1": 95, "v2": 5}, "rollout": rollout}}})
    assert models(fallback_config(plan(data, before, live), running(before), live)) == {"digits": entry}


def test_what_runs_already_need_not_be_deployed():
    assert is_deployed(V1, running(V1))
    assert not is_deployed(V2, running(V1))
    other = copy.deepcopy(V1)
    other["applications"][0]["deployments"][0]["user_config"]["models"]["digits"]["labels"] = {"stable": "v1"}
    assert not is_deployed(other, running(V1))
    other = copy.deepcopy(V1)
    other["applications"][1]["args"]["slo_ms"] = 1
    assert not is_deployed(other, running(V1))
    assert not is_deployed({"applications": []}, Running())


def test_some_can_be_left_out():
    assert names(without(running(V1), {"digits-v1"}, {})) == ["gateway"]


def test_one_model_is_declared_as_it_is_live_and_nothing_else_changes():
    live = Overview.model_validate({"models": {"digits": {"traffic": {"v0": 100}, "labels": {"stable": "v0"}}}})
    config = redeclared(running(V1), "digits", live)
    assert models(config) == {"digits": {"traffic": {"v1": 0, "v0": 100}, "labels": {"stable": "v0"}}}
    assert config["http_options"] == {"port": 8000}
    assert names(config) == ["gateway", "digits-v1"]
    assert redeclared(running(V1), "digits", LIVE) is None
    assert redeclared(running(V1), "wine", LIVE) is None
    assert redeclared(Running(), "digits", LIVE) is None
