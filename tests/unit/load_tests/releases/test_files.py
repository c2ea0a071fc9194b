"""Files of the scenarios are good serve files, cut down as they say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from load_tests.releases import canaries, files, refusals, switching, users
from load_tests.releases.files import DIGITS, ENSEMBLE, Ports, ReleaseFile
from serve_app.config.serve_file import read_serve_file

PORTS = Ports(18000, 19000, 18001)
BASE = files.cut_down(PORTS, "sqlite:////tmp/state.db", gateways=2)
V1 = BASE.serving(files.digits("v1"))


def test_the_gateway_is_alone_on_other_ports_with_its_own_state():
    document = V1.routed(DIGITS, {"v1": 100}).document()
    gateway, release = document["applications"]
    assert (document["http_options"]["port"], document["grpc_options"]["port"]) == (18000, 19000)
    assert gateway["args"]["express"]["port"] == 18001
    assert gateway["args"]["releases"]["state_url"] == "sqlite:////tmp/state.db"
    assert gateway["deployments"][0]["num_replicas"] == 2
    assert gateway["deployments"][0]["user_config"] == {
        "default_model": "digits",
        "models": {"digits": {"traffic": {"v1": 100}}},
    }
    assert release["name"] == "digits-v1"


def test_a_change_leaves_the_file_before_it_alone():
    more = V1.serving(files.digits("v2"))
    assert (list(V1.releases), list(more.releases)) == (["digits-v1"], ["digits-v1", "digits-v2"])
    assert list(more.without("digits-v1").releases) == ["digits-v2"]


def all_files(folder: Path) -> dict[str, ReleaseFile]:
    never, _ = refusals.candidates(folder)["never"]
    gates = (canaries.DISAGREEMENT, canaries.ERRORS, *canaries.LATENCIES)
    two = V1.serving(files.digits("v2"))
    return {
        "blue-green": two.without("digits-v1").routed(DIGITS, {"v2": 100}, rollout=switching.BLUE_GREEN),
        "canary": two.routed(DIGITS, {"v2": 100}, rollout=files.canary(canaries.STEPS, *gates)),
        "never ready": V1.serving(never).routed(DIGITS, {"never": 100}, rollout=refusals.ROLLOUT),
        "shadow": two.routed(DIGITS, {"v1": 100, "v2": 0}, shadow=[{"to": "v2", "percent": 100}]),
        "sticky": two.routed(DIGITS, {"v1": 80, "v2": 20}, sticky=users.STICKY),
        "ensemble": BASE.serving(files.ensemble("v2", files.OTHER_WEIGHTS)).routed(ENSEMBLE, {"v2": 100}),
    }


@pytest.mark.parametrize("name", ["blue-green", "canary", "never ready", "shadow", "sticky", "ensemble"])
def test_every_scenarios_file_has_no_fault(tmp_path, name):
    path = all_files(tmp_path)[name].write(tmp_path / "serve.yaml")
    assert read_serve_file(path).faults == []


def test_an_ensemble_under_other_weights_is_otherwise_the_same():
    first, then = files.ensemble("v1"), files.ensemble("v2", files.OTHER_WEIGHTS)
    before = {node["name"]: node for node in first["args"]["graph"]["nodes"]}
    after = {node["name"]: node for node in then["args"]["graph"]["nodes"]}
    changed = {name for name, node in after.items() if node != before[name]}
    assert changed == {"vote", "mean"}
    assert after["vote"]["weights"] == [1.0, 3.0, 1.0]


def test_a_canary_has_a_step_for_each_percent():
    rollout = files.canary({5.0: 10.0, 50.0: 20.0}, {"metric": "error_rate", "max": 0.1})
    assert rollout["steps"] == [{"percent": 5.0, "seconds": 10.0}, {"percent": 50.0, "seconds": 20.0}]
    assert yaml.safe_load(yaml.safe_dump(rollout)) == rollout
