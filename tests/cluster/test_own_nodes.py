"""A graph whose nodes have replicas of their own: the same answers as in one process, and a member may die."""

from __future__ import annotations

import asyncio
import copy
import os
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from support.load import under_load
from support.server import outputs_of, v2_body, wait_for

from serve_app.config.release import ReleaseArgs
from serve_app.dataflow.model import load_model
from serve_app.samples.data import held_out

MODEL, RELEASE = "digits-spread", "digits-spread-v1"
MEMBERS = {"scaled", "mlp", "conv"}


def graph(placement: str) -> dict[str, Any]:
    """A mean of both samples, behind a transform, wherever they are placed."""
    return {
        "inputs": [{"name": "pixels", "datatype": "FP32", "shape": [-1, 64]}],
        "nodes": [
            {
                "kind": "transform",
                "name": "scaled",
                "input": "pixels",
                "steps": [{"op": "clip", "min": 0, "max": 16}],
                "placement": placement,
            },
            {
                "kind": "model",
                "name": "mlp",
                "source": "models/digits/v1",
                "inputs": {"pixels": "scaled.y"},
                "placement": placement,
            },
            {"kind": "model", "name": "conv", "source": "models/digits/v2", "placement": placement},
            {
                "kind": "ensemble",
                "name": "mean",
                "method": "mean",
                "members": ["mlp.probabilities", "conv.probabilities"],
                "weights": [1, 2],
                "quorum": 1,
            },
            {"kind": "transform", "name": "best", "input": "mean.y", "steps": [{"op": "argmax"}]},
        ],
        "outputs": {"probabilities": "mean.y", "label": "best.y"},
    }


def release(placement: str) -> dict[str, Any]:
    return {"model": MODEL, "version": "v1", "accelerator": "auto", "slo_ms": 5000, "graph": graph(placement)}


@pytest.fixture(scope="module")
def spread(server) -> Iterator[None]:
    """Deploys it with Ray's own options for two of the nodes, and removes it again."""
    before = copy.deepcopy(server.config)
    args = release("own")
    args["graph"]["nodes"][3]["timeout_ms"] = 300
    application = {
        "name": RELEASE,
        "route_prefix": None,
        "import_path": "graphs.inference:build",
        "args": args,
        "deployments": [
            {"name": "mlp", "num_replicas": 2, "ray_actor_options": {"num_cpus": 0.1}},
            {"name": "conv", "ray_actor_options": {"num_cpus": 0.1}},
            {"name": "scaled", "ray_actor_options": {"num_cpus": 0.1}},
        ],
    }
    changed = server.with_traffic(**{MODEL: {"traffic": {"v1": 100}}})
    changed["applications"].append(application)
    server.deploy(changed)
    try:
        wait_for("readiness", lambda: server.readiness(MODEL, "v1")[0] == 200, 90)
    except AssertionError as error:
        raise AssertionError(f"{error}: {server.readiness(MODEL, 'v1')}") from None
    yield
    server.deploy(before)
    wait_for("its removal", lambda: RELEASE not in server.applications(), 60)


def pids(server) -> dict[str, list[int]]:
    """Of the running replicas, by deployment."""
    deployments = server.applications()[RELEASE]["deployments"]
    return {
        name: [replica["pid"] for replica in one["replicas"] if replica["state"] == "RUNNING"]
        for name, one in deployments.items()
    }


def test_nodes_are_deployments_with_rays_own_options(server, spread):
    wait_for("both replicas", lambda: len(pids(server)["mlp"]) == 2, 60)
    found = pids(server)
    assert found.keys() == {MODEL, *MEMBERS}
    assert [len(found[name]) for name in (MODEL, "scaled", "conv")] == [1, 1, 1]
    conv = server.applications()[RELEASE]["deployments"]["conv"]["deployment_config"]
    assert conv["ray_actor_options"]["num_cpus"] == 0.1


def test_the_answers_are_those_of_one_process(server, spread):
    pixels = held_out("digits")[0]
    expected = load_model(ReleaseArgs.model_validate(release("fused"))).predict({"pixels": pixels})
    answer = httpx.post(f"{server.url}/v2/models/{MODEL}/infer", content=v2_body("pixels", pixels), timeout=60)
    assert answer.status_code == 200, answer.text
    found = outputs_of(answer.json())
    assert found["label"] == expected["label"].tolist()
    both = np.array(found["probabilities"], np.float32).reshape(-1, 10)
    np.testing.assert_allclose(both, expected["probabilities"], atol=1e-6)


async def test_a_member_may_be_killed_under_load(server, spread):
    before = pids(server)
    async with under_load(server.url, model=MODEL) as load:
        await asyncio.to_thread(wait_for, "answers", lambda: len(load.statuses) > 50, 60)
        (conv,) = before["conv"]
        os.kill(conv, signal.SIGKILL)
        await asyncio.to_thread(wait_for, "an answer without it", lambda: any(load.left_out), 30)
        left_out = len(load.left_out)
        await asyncio.to_thread(
            wait_for, "its return", lambda: len(load.left_out) > left_out + 50 and not any(load.left_out[-20:]), 90
        )
    assert load.failures == []
    assert set(load.left_out) == {"", "mean.conv"}
    after = await asyncio.to_thread(pids, server)
    assert after["conv"] != before["conv"]
    assert {name: after[name] for name in (MODEL, "mlp", "scaled")} == {
        name: before[name] for name in (MODEL, "mlp", "scaled")
    }
