"""The graphs of configs/graphs.yaml beside the models of configs/prod.yaml."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
import yaml
from support.server import wait_for

from serve_app.samples.data import held_out

MODELS = ("digits-ensemble", "digits-cascade")


@pytest.fixture(scope="module")
def graphs(server) -> Iterator[None]:
    """Deploys them, and removes them again."""
    before = copy.deepcopy(server.config)
    added = yaml.safe_load((server.root / "configs/graphs.yaml").read_text())["applications"][1:]
    pids = server.pids()
    changed = server.with_traffic(**{model: {"traffic": {"v1": 100}} for model in MODELS})
    changed["applications"] += added
    server.deploy(changed)
    for model in MODELS:
        wait_for(model, lambda model=model: server.readiness(model, "v1")[0] == 200, 90)
    assert {name: server.pids()[name] for name in pids} == pids  # the others kept their processes
    yield
    server.deploy(before)
    wait_for("their removal", lambda: not {f"{model}-v1" for model in MODELS} & server.applications().keys(), 60)


def labels(url: str, model: str, version: str, rows: np.ndarray) -> list[int]:
    tensor = {"name": "pixels", "datatype": "FP32", "shape": list(rows.shape), "data": rows.ravel().tolist()}
    answer = httpx.post(f"{url}/v2/models/{model}/versions/{version}/infer", json={"inputs": [tensor]}, timeout=30)
    assert answer.status_code == 200, answer.text
    (found,) = [output["data"] for output in answer.json()["outputs"] if output["name"] == "label"]
    return found


@pytest.mark.parametrize("door", ["url", "express_url"])
def test_a_graph_answers_at_both_doors_as_its_models_say(server, graphs, door):
    url, rows = getattr(server, door), held_out("digits")[0][:200]
    small, big = (labels(url, "digits", version, rows) for version in ("v1", "v2"))
    for model in MODELS:
        answer = labels(url, model, "v1", rows)
        agreed = [both for both, first, second in zip(answer, small, big, strict=True) if first == second]
        assert agreed == [first for first, second in zip(small, big, strict=True) if first == second]
        assert all(both in pair for both, *pair in zip(answer, small, big, strict=True))


@pytest.mark.parametrize("door", ["url", "express_url"])
@pytest.mark.parametrize(("query", "headers"), [("?explain=1", {}), ("", {"x-explain": "1"})], ids=["query", "header"])
def test_a_request_is_told_the_nodes_it_went_through(server, graphs, door, query, headers):
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


def test_metadata_is_that_of_the_graph(server, graphs):
    document = httpx.get(f"{server.url}/v2/models/digits-ensemble").json()
    assert [tensor["name"] for tensor in document["outputs"]] == ["probabilities", "label"]
    assert document["platform"] == "graph"
