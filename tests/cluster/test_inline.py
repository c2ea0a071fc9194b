"""Digits inside the running gateway: moved there by the traffic table alone, with the answers it had before."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
from support.load import under_load
from support.server import outputs_of, v2_body, wait_for

from serve_app.samples.data import held_out

TAG = "inside"
SETTINGS = {"source": "models/digits/v1", "slo_ms": 2000, "batching": {"max_rows": 64}}


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return held_out("digits")[0][:50]


@pytest.fixture
def restored(server) -> Iterator[None]:
    """Deploys the configuration of before the test again and waits until it is in force."""
    before = copy.deepcopy(server.config)
    yield
    server.deploy(before)
    wait_for("the first table", lambda: ("digits", TAG) not in server.index(), 60)


def versions(server) -> dict[str, float]:
    return {tag: entry["effective_traffic"] for (model, tag), entry in server.index().items() if model == "digits"}


def doors(server, pixels: np.ndarray, version: str) -> list[dict[str, list]]:
    """The outputs at both doors and by gRPC."""
    path, body = f"/v2/models/digits/versions/{version}/infer", v2_body("pixels", pixels)
    found = []
    for url in (server.url, server.express_url):
        answer = httpx.post(url + path, content=body, timeout=30)
        assert (answer.status_code, answer.headers["x-model-version"]) == (200, version), answer.text
        found.append(outputs_of(answer.json()))
    with triton.InferenceServerClient(server.grpc_address) as client:
        tensor = triton.InferInput("pixels", list(pixels.shape), "FP32")
        tensor.set_data_from_numpy(pixels)
        answer = client.infer("digits", [tensor], model_version=version)
        found.append({name: answer.as_numpy(name).ravel().tolist() for name in found[0]})
    return found


async def test_all_traffic_moves_into_the_gateway_and_back_and_loses_nothing(server, restored, pixels):
    before = server.pids()
    inside = server.with_traffic(
        digits={"traffic": {TAG: 100, "v1": 0}, "labels": {"stable": TAG}, "inline": {TAG: SETTINGS}}
    )
    async with under_load(server.url) as load, under_load(server.express_url) as express:
        await asyncio.to_thread(wait_for, "traffic", lambda: len(load.statuses) > 50, 60)
        await asyncio.to_thread(server.deploy, inside)
        await asyncio.to_thread(wait_for, "the release", lambda: versions(server).get(TAG) == 100, 60)
        seen = len(load.versions)
        await asyncio.to_thread(wait_for, "answers", lambda: len(load.versions) > seen + 50, 60)
        here, apart = await asyncio.to_thread(doors, server, pixels, TAG), doors(server, pixels, "v1")
        await asyncio.to_thread(server.deploy, server.with_traffic(digits={"traffic": {"v1": 100}}))
        await asyncio.to_thread(wait_for, "the way back", lambda: versions(server) == {"v1": 100}, 60)
    assert load.failures == express.failures == []
    assert {TAG, "v1"} <= {version for _, version in load.versions}
    for one in [*here, *apart]:
        assert one["label"] == apart[0]["label"]
        np.testing.assert_allclose(one["probabilities"], apart[0]["probabilities"], atol=1e-6)
    assert server.pids() == before


def test_settings_that_change_under_the_same_tag_are_refused(server, restored):
    before = server.pids()
    table = {"traffic": {"v1": 100, TAG: 0}, "inline": {TAG: SETTINGS}}
    server.deploy(server.with_traffic(digits=table))
    wait_for("the release", lambda: server.readiness("digits", TAG)[0] == 200, 60)
    changed = {**table, "traffic": {"v1": 0, TAG: 100}, "inline": {TAG: {**SETTINGS, "slo_ms": 5}}}
    server.deploy(server.with_traffic(digits=changed))
    wait_for("the refusal", lambda: "a changed release is a new version" in server.ready().get("error", ""), 60)
    assert versions(server) == {"v1": 100, TAG: 0}
    assert server.pids() == before


def test_a_release_that_cannot_be_loaded_gets_no_traffic_and_says_why(server, restored):
    table = {"traffic": {"v1": 50, TAG: 50}, "inline": {TAG: {"source": "models/digits/none"}}}
    server.deploy(server.with_traffic(digits=table))
    wait_for("its fault", lambda: "is not a directory" in server.readiness("digits", TAG)[1], 60)
    assert versions(server) == {"v1": 100, TAG: 0}
