"""The graphs of configs/prod.yaml beside its models."""

from __future__ import annotations

import copy
import json
import re

import httpx
import numpy as np
import pytest
from support.server import wait_for

from serve_app.samples.data import held_out

MODELS = ("digits-ensemble", "digits-cascade")
CODED = "graphs.digits_cascade:build"


def labels(url: str, model: str, version: str, rows: np.ndarray) -> list[int]:
    tensor = {"name": "pixels", "datatype": "FP32", "shape": list(rows.shape), "data": rows.ravel().tolist()}
    answer = httpx.post(f"{url}/v2/models/{model}/versions/{version}/infer", json={"inputs": [tensor]}, timeout=30)
    assert answer.status_code == 200, answer.text
    (found,) = [output["data"] for output in answer.json()["outputs"] if output["name"] == "label"]
    return found


@pytest.mark.parametrize("door", ["url", "express_url"])
def test_a_graph_answers_at_both_doors_as_its_models_say(server, door):
    url, rows = getattr(server, door), held_out("digits")[0][:200]
    small, big = (labels(url, "digits", version, rows) for version in ("v1", "v2"))
    for model in MODELS:
        answer = labels(url, model, "v1", rows)
        agreed = [both for both, first, second in zip(answer, small, big, strict=True) if first == second]
        assert agreed == [first for first, second in zip(small, big, strict=True) if first == second]
        assert all(
            both in pair for both, *pair in zip(answer, small, big, strict=True)
        )  # the SVM alone has no majority


@pytest.mark.parametrize("door", ["url", "express_url"])
@pytest.mark.parametrize(("query", "headers"), [("?explain=1", {}), ("", {"x-explain": "1"})], ids=["query", "header"])
def test_a_request_is_told_the_nodes_it_went_through(server, door, query, headers):
    url, blank = getattr(server, door), [0] * 64  # no digit, which the perceptron is unsure about
    rows = [held_out("digits")[0][0].tolist(), blank]
    body = {"inputs": [{"name": "pixels", "datatype": "FP32", "shape": [2, 64], "data": rows}]}
    answer = httpx.post(f"{url}/v2/models/digits-cascade/infer{query}", json=body, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    told = json.loads(answer.json()["parameters"]["explanation"])
    assert [(node["node"], node["rows"]) for node in told["nodes"]] == [("mlp", 2), ("sure", 2), ("conv", 1)]
    assert told["nodes"][1]["chosen"] == {"mlp": 1, "conv": 1}
    assert 0 < sum(node["critical_ms"] for node in told["nodes"]) <= told["compute_ms"]
    assert re.findall(r"node-(\w+);dur", answer.headers["server-timing"]) == ["mlp", "sure", "conv"]


def test_metadata_is_that_of_the_graph(server):
    document = httpx.get(f"{server.url}/v2/models/digits-ensemble").json()
    assert [tensor["name"] for tensor in document["outputs"]] == ["probabilities", "label"]
    assert document["platform"] == "graph"


def test_another_parameter_of_a_transform_is_a_new_release_and_restarts_nothing(server):
    before, pids = copy.deepcopy(server.config), server.pids()
    changed = server.with_traffic(**{"digits-ensemble": {"traffic": {"v1": 50, "v2": 50}}})
    (first,) = [application for application in changed["applications"] if application["name"] == "digits-ensemble-v1"]
    second = copy.deepcopy(first)
    second["name"], second["args"]["version"] = "digits-ensemble-v2", "v2"
    (transform,) = [node for node in second["args"]["graph"]["nodes"] if node["kind"] == "transform"]
    transform["steps"][0]["std"] = [6.5]
    changed["applications"].append(second)
    server.deploy(changed)
    wait_for("v2", lambda: server.readiness("digits-ensemble", "v2")[0] == 200, 90)
    assert {name: server.pids()[name] for name in pids} == pids
    assert len(labels(server.url, "digits-ensemble", "v2", held_out("digits")[0][:10])) == 10
    server.deploy(before)
    wait_for("its removal", lambda: "digits-ensemble-v2" not in server.applications(), 60)
    assert server.pids() == pids


def test_a_release_whose_graph_is_coded_in_python_answers_as_the_yamls(server):
    before = copy.deepcopy(server.config)
    changed = server.with_traffic(**{"digits-cascade": {"traffic": {"v1": 100, "v2": 0}}})
    (first,) = [application for application in changed["applications"] if application["name"] == "digits-cascade-v1"]
    args = {key: value for key, value in first["args"].items() if key != "graph"} | {"version": "v2"}
    changed["applications"].append({**first, "name": "digits-cascade-v2", "import_path": CODED, "args": args})
    server.deploy(changed)
    wait_for("v2", lambda: server.readiness("digits-cascade", "v2")[0] == 200, 90)
    urls = [f"{server.url}/v2/models/digits-cascade/versions/{version}" for version in ("v1", "v2")]
    nodes = [httpx.get(url).json()["parameters"]["nodes_ms"].keys() for url in urls]
    assert nodes[0] == nodes[1] == {"mlp", "conv", "sure"}
    rows = held_out("digits")[0][:200]
    written, from_code = (labels(server.url, "digits-cascade", version, rows) for version in ("v1", "v2"))
    assert from_code == written
    server.deploy(before)
    wait_for("its removal", lambda: "digits-cascade-v2" not in server.applications(), 60)
