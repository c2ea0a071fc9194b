from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from load_tests.servers.offers import SAME_THREADS
from load_tests.servers.ray_yaml import batching_behind_default_proxy, inline_beside_noop, serve_app_beside_rivals
from serve_app.config.serve_file import check_serve_file

PRODUCTION = yaml.safe_load((Path(__file__).parents[4] / "configs/prod.yaml").read_text())


def names_and_routes(config) -> dict[str, str | None]:
    return {application["name"]: application["route_prefix"] for application in config["applications"]}


@pytest.mark.parametrize("quick", [True, False])
def test_the_file_is_one_that_validate_takes(workloads, tmp_path, quick):
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump(serve_app_beside_rivals(PRODUCTION, workloads, quick=quick)))
    assert check_serve_file(file) == []


def test_rivals_stand_beside_our_applications_in_the_same_mode(workloads):
    config = serve_app_beside_rivals(PRODUCTION, workloads, quick=True)
    assert config["controller_options"] == PRODUCTION["controller_options"]
    assert names_and_routes(config) == {
        "gateway": "/",
        "digits-v1": None,
        "cnn-v1": None,
        "noop": "/noop",
        "batch-digits": "/batch/digits",
        "batch-cnn": "/batch/cnn",
    }


def test_only_the_conv_net_has_more_than_a_thread(workloads, monkeypatch):
    monkeypatch.delenv(SAME_THREADS, raising=False)
    config = serve_app_beside_rivals(PRODUCTION, workloads, quick=True)
    runtimes = {a["name"]: a["args"].get("runtime") for a in config["applications"]}
    assert (runtimes["digits-v1"], runtimes["cnn-v1"]) == (None, {"threads": 2})


def test_a_full_run_has_batching_that_does_not_wait_too(workloads):
    config = serve_app_beside_rivals(PRODUCTION, workloads, quick=False)
    waits = {a["route_prefix"]: a["args"]["wait_s"] for a in config["applications"] if "batch-" in a["name"]}
    assert waits == {"/batch/digits": 0.002, "/batch/digits-0": 0.0, "/batch/cnn": 0.002, "/batch/cnn-0": 0.0}


def test_ours_gets_all_traffic_in_one_replica_and_batches_like_the_others(workloads):
    gateway, digits, *_ = serve_app_beside_rivals(PRODUCTION, workloads, quick=True)["applications"]
    (deployment,) = gateway["deployments"]
    assert deployment["num_replicas"] == 1
    assert deployment["user_config"]["models"]["digits"] == {"traffic": {"v1": 100}}
    assert digits["args"]["batching"] == {"max_rows": 32}
    production = PRODUCTION["applications"][0]["args"]
    assert gateway["args"] == {**production, "express": {"port": 8001}}


def test_the_default_proxy_is_ray_without_any_switch(workloads):
    config = batching_behind_default_proxy(workloads)
    assert "controller_options" not in config
    assert names_and_routes(config) == {"batch-digits": "/batch/digits", "batch-cnn": "/batch/cnn"}


def test_a_release_inside_the_gateway_is_there_as_an_application_of_another_tag_too(workloads, tmp_path):
    config = inline_beside_noop(PRODUCTION, workloads[0])
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump(config))
    assert check_serve_file(file) == []
    assert names_and_routes(config) == {"gateway": "/", "digits-apart": None, "digits-handle": None, "noop": "/noop"}
    table = config["applications"][0]["deployments"][0]["user_config"]["models"]["digits"]
    apart = config["applications"][1]["args"]
    assert table["inline"]["v1"] == {key: apart[key] for key in ("source", "slo_ms", "batching")}
