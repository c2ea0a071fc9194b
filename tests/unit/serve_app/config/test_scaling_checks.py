"""Autoscaling of releases: what could not take effect is found before anything starts."""

from pathlib import Path

import pytest

from deployments.ray_schema import ray_findings
from serve_app.config.declared import read_declared
from serve_app.config.scaling_checks import USELESS, scaling_findings
from serve_app.config.serve_file import check_serve_file

OURS = {"policy": {"policy_function": "deployments.autoscaling:RowAwarePolicy"}}
A = "applications.0.deployments.0.autoscaling_config"


def found(config, deployment=None, **more):
    application = {
        "name": "m-v1",
        "import_path": "graphs.inference:build",
        "args": {"model": "m", "version": "v1", "source": "s"},
        "deployments": [{"name": "m", "autoscaling_config": config, **(deployment or {})}],
        **more,
    }
    data = {"applications": [application]}
    return [(".".join(map(str, path)), message) for path, message in scaling_findings(data, read_declared(data)[0])]


@pytest.mark.parametrize(
    "config",
    [
        {"max_replicas": 2},
        {"max_replicas": 2, **OURS},
        {"min_replicas": 1, "initial_replicas": 2, "max_replicas": 4, "target_ongoing_requests": 3},
        {"max_replicas": 2, "metrics_interval_s": 1, "look_back_period_s": 15, "downscale_delay_s": 9, **OURS},
        {"max_replicas": 2, "policy": {**OURS["policy"], "policy_kwargs": {"target_utilisation": 0.5, "drain_s": 3}}},
        {"max_replicas": 2, "policy": {"policy_function": "deployments.autoscaling.RowAwarePolicy"}},
        {"max_replicas": 2, "policy": {"policy_function": "ray.serve.autoscaling_policy:default_autoscaling_policy"}},
        {"max_replicas": 2, "policy": {}},
        "left to the schema",
        None,
    ],
)
def test_what_takes_effect_is_good(config):
    assert found(config) == []


def test_auto_has_replicas_to_scale():
    assert found(OURS, {"num_replicas": "auto"}) == []
    assert found({}, {"num_replicas": "auto"}) == []


@pytest.mark.parametrize("key", ["min_replicas", "initial_replicas"])
def test_a_release_never_goes_to_zero(key):
    message = "must be at least 1: a release without replicas gets no traffic that could wake it"
    assert found({key: 0, "max_replicas": 2}) == [(f"{A}.{key}", message)]


def test_a_delay_before_zero_has_no_effect():
    ((path, message),) = found({"max_replicas": 2, "downscale_to_zero_delay_s": 5})
    assert (path, message) == (
        f"{A}.downscale_to_zero_delay_s",
        "has no effect: a release keeps at least one replica",
    )


def test_bounds_that_are_equal_leave_nothing_to_scale():
    message = "min_replicas and max_replicas are both {}: there is nothing to scale; use num_replicas"
    assert found(OURS) == [(A, message.format(1))]
    assert found({"min_replicas": 3, "max_replicas": 3}) == [(f"{A}.max_replicas", message.format(3))]


@pytest.mark.parametrize("key", USELESS)
def test_a_setting_without_a_place_beside_our_policy_is_refused(key):
    ((path, message),) = found({"max_replicas": 2, key: 1, **OURS})
    assert path == f"{A}.{key}"
    assert message.startswith("has no effect with deployments.autoscaling:RowAwarePolicy: ")
    assert found({"max_replicas": 2, key: 1}) == []


def test_every_field_that_is_refused_is_one_of_rays():
    data = {"applications": [{"import_path": "a:b", "deployments": [{"name": "m", "autoscaling_config": {}}]}]}
    data["applications"][0]["deployments"][0]["autoscaling_config"] = dict.fromkeys(USELESS, 1)
    assert not [message for _, message in ray_findings(data) if "unknown key" in message]


@pytest.mark.parametrize(
    ("kwargs", "finding"),
    [
        ({"drain": 1}, ("policy_kwargs.drain", "unknown key; did you mean 'drain_s'?")),
        ({"drain_s": 0}, ("policy_kwargs.drain_s", "must be greater than 0, not 0")),
        (
            {"target_utilisation": 75},
            ("policy_kwargs.target_utilisation", "must be less than or equal to 0.95, not 75"),
        ),
        ([1], ("policy_kwargs", "must be a mapping, not [1]")),
    ],
)
def test_wrong_arguments_of_our_policy_stand_at_their_key(kwargs, finding):
    policy = {**OURS["policy"], "policy_kwargs": kwargs}
    assert found({"max_replicas": 2, "policy": policy}) == [(f"{A}.policy.{finding[0]}", finding[1])]


@pytest.mark.parametrize(
    ("policy", "finding"),
    [
        ({"policy_function": "no.such:policy"}, ("policy.policy_function", "there is no module 'no.such' to import")),
        (
            {"policy_function": "deployments.autoscaling:RowawarePolicy"},
            (
                "policy.policy_function",
                "the module deployments.autoscaling has no 'RowawarePolicy'; did you mean 'RowAwarePolicy'?",
            ),
        ),
        ({"policy_function": 3}, ("policy.policy_function", "must be a valid string, not 3")),
        (3, ("policy", "must be a mapping, not 3")),
        (
            {"policy_function": "serve_app.config.located:at", "policy_kwargs": {"a": 1}},
            (
                "policy.policy_kwargs",
                "has no effect: serve_app.config.located:at is a function, and Ray gives them to classes only",
            ),
        ),
    ],
)
def test_a_policy_that_could_not_be_called_is_found(policy, finding):
    assert found({"max_replicas": 2, "policy": policy}) == [(f"{A}.{finding[0]}", finding[1])]


def test_a_runtime_environment_may_bring_the_policy_along():
    config = {"max_replicas": 2, "policy": {"policy_function": "their.own:policy"}}
    assert found(config, runtime_env={"working_dir": "s3://bucket/code.zip"}) == []


def test_a_policy_of_the_application_takes_the_place_of_ours():
    policy = {"policy_function": "their.own:policy"}
    message = "has no effect: the application's autoscaling_policy takes its place"
    assert found({"max_replicas": 2, **OURS}, autoscaling_policy=policy) == [(f"{A}.policy", message)]


def test_a_gateway_has_nothing_that_our_policy_goes_by():
    gateway = {
        "name": "gateway",
        "import_path": "graphs.gateway:build",
        "deployments": [{"name": "Gateway", "autoscaling_config": {"max_replicas": 2, **OURS}}],
    }
    data = {"applications": [gateway]}
    assert [path for path, _ in scaling_findings(data, read_declared(data)[0])] == [
        ("applications", 0, "deployments", 0, "autoscaling_config", "policy", "policy_function")
    ]


def test_a_finding_has_the_line_of_its_key(tmp_path):
    text = (Path(__file__).parents[4] / "configs/prod.yaml").read_text()
    file = tmp_path / "serve.yaml"
    file.write_text(text.replace("metrics_interval_s: 1", "target_ongoing_requests: 2", 1))
    (fault,) = check_serve_file(file)
    line = next(number for number, line in enumerate(file.read_text().splitlines(), 1) if "target_ongoing" in line)
    assert str(fault).startswith(
        f"{file}:{line}: applications.1.deployments.0.autoscaling_config.target_ongoing_requests: has no effect with "
    )
