"""What Ray's own schema says, and what it would drop."""

from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from deployments.ray_schema import ray_findings

GOOD = yaml.safe_load((Path(__file__).parents[3] / "configs/prod.yaml").read_text())
D = "applications.0.deployments.0"


def changed(path, value):
    data = deepcopy(GOOD)
    *parents, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    target = data
    for key in parents:
        target = target[key]
    if last == len(target) and isinstance(target, list):
        target.append(value)
    else:
        target[last] = value
    return data


def found(data):
    return [(".".join(map(str, path)), message) for path, message in ray_findings(data)]


def test_a_good_file_has_no_findings_and_is_not_changed():
    data = deepcopy(GOOD)
    assert found(data) == []
    assert data == GOOD


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("target_capcity", "target_capacity"),
        ("http_options.prot", "port"),
        ("applications.0.import_paths", "import_path"),
        ("applications.0.logging_config", None),
        (f"{D}.num_replica", "num_replicas"),
        (f"{D}.ray_actor_options", None),
        (f"{D}.autoscaling_config", None),
        (f"{D}.autoscaling_config.policy", None),
        (f"{D}.logging_config", None),
        (f"{D}.request_router_config", None),
        (f"{D}.deployment_actors", None),
    ],
)
def test_an_unknown_key_is_found_at_every_depth(path, near):
    if near:
        assert found(changed(path, 1)) == [(path, f"unknown key; did you mean {near!r}?")]
        return
    good = {"name": "a", "actor_class": "a:B"} if path.endswith("actors") else {}
    bad = {**good, "zzz": 1}
    parent, _, key = path.rpartition(".")
    value = [bad] if path.endswith("actors") else bad
    data = changed(parent, {key: value}) if parent.endswith("autoscaling_config") else changed(path, value)
    where = f"{path}.0.zzz" if path.endswith("actors") else f"{path}.zzz"
    assert found(data) == [(where, "unknown key")]


@pytest.mark.parametrize(
    "path",
    ["applications.0.args", f"{D}.user_config", "applications.0.runtime_env", f"{D}.ray_actor_options.resources"],
)
def test_free_mappings_are_not_looked_into(path):
    data = changed(f"{D}.ray_actor_options", {"num_cpus": 1})
    assert found({**data, **changed(path, {"env_vars": {"zzz": "1"}})} if "resources" not in path else data) == []


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (
            "proxy_location",
            "Nowhere",
            ("proxy_location", "must be 'Disabled', 'HeadOnly' or 'EveryNode', not \"Nowhere\""),
        ),
        ("http_options", None, ("http_options", "must be a mapping, not null")),
        ("http_options.port", "x", ("http_options.port", 'must be a valid integer, not "x"')),
        ("target_capacity", 101, ("target_capacity", "must be less than or equal to 100, not 101")),
        ("applications", 3, ("applications", "must be a list, not 3")),
        ("applications.0.args", None, ("applications.0.args", "must be a mapping, not null")),
        (f"{D}.max_ongoing_requests", 0, (f"{D}.max_ongoing_requests", "must be greater than 0, not 0")),
        (f"{D}.num_replicas", 2.5, (D, '`num_replicas` must be an int or "auto", but got: 2.5')),
        (
            f"{D}.num_replicas",
            -1,
            (f"{D}.num_replicas", "must be greater than 0, not -1; or must be a valid string, not -1"),
        ),
        (
            f"{D}.autoscaling_config",
            {"max_replicas": "many"},
            (f"{D}.autoscaling_config.max_replicas", 'must be a valid integer, not "many"'),
        ),
        (
            f"{D}.autoscaling_config",
            {"min_replicas": 3, "max_replicas": 2},
            (f"{D}.autoscaling_config", "max_replicas (2) must be greater than or equal to min_replicas (3)!"),
        ),
        ("applications.0.host", "a", ("applications.0.host", "Ray takes it only at the top, as http_options.host")),
        (
            f"{D}.gang_scheduling_config",
            {"gang_size": 1, "runtime_failure_policy": "RESTART_REPLICA"},
            (
                f"{D}.gang_scheduling_config",
                "Ray cannot read this: RESTART_REPLICA policy is not yet implemented. "
                "File a GitHub issue if you need this feature.",
            ),
        ),
        (
            "applications.0.runtime_env",
            {"py_modules": 3},
            ("applications.0", "Ray cannot read this: 'int' object is not iterable"),
        ),
    ],
)
def test_rays_own_errors_stand_at_their_path(path, value, expected):
    assert found(changed(path, value)) == [expected]


def test_one_application_that_ray_stumbles_over_hides_no_other():
    data = changed("applications.0.runtime_env", {"py_modules": 3})
    data["applications"][1]["import_path"] = "nodot"
    assert [path for path, _ in found(data)] == ["applications.0", "applications.1.import_path"]


def test_what_ours_finds_with_a_better_line_is_left_to_it():
    assert found(changed("applications.4", GOOD["applications"][1])) == []
    assert found(changed("applications.4", "x")) == []
    assert found(changed("applications.0.deployments.1", "x")) == []


def test_a_policy_is_not_imported():
    policy = {"policy_function": "no.such.module:function"}
    assert found(changed(f"{D}.autoscaling_config", {"max_replicas": 2, "policy": policy})) == []


def test_deprecated_settings_are_no_faults():
    assert found(changed(f"{D}.autoscaling_config", {"metrics_interval_s": 1.0})) == []


def test_a_request_router_is_not_imported():
    router = {"request_router_class": "no.such.module:Router"}
    assert found(changed(f"{D}.request_router_config", router)) == []
    bad = {"request_router_class": 3, "initial_backoff_s": "soon"}
    assert found(changed(f"{D}.request_router_config", bad)) == [
        (f"{D}.request_router_config.initial_backoff_s", 'must be a valid number, not "soon"'),
        (f"{D}.request_router_config.request_router_class", "must be a valid string, not 3"),
    ]


@pytest.mark.parametrize("key", ["autoscaling_config", "request_router_config", "gang_scheduling_config"])
def test_options_that_are_read_late_must_be_mappings(key):
    assert found(changed(f"{D}.{key}", [1])) == [(f"{D}.{key}", "must be a mapping, not [1]")]
    assert found(changed(f"{D}.{key}", "x")) == [(f"{D}.{key}", 'must be a mapping, not "x"')]
