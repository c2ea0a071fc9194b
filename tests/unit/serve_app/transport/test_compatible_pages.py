"""The pages that clients of TensorFlow Serving and TorchServe know."""

from __future__ import annotations

import pytest
from support.arithmetic import Executor
from support.gateway import client_of, plane_of, table

from serve_app.data_plane.local import LocalCluster

TRAFFIC = table(arithmetic={"traffic": {"v1": 90, "v2": 10}, "labels": {"canary": "v2"}})
V1 = {"version": "v1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
V2 = {"version": "v2", "state": "END", "status": {"error_code": "UNAVAILABLE", "error_message": "CheckFailed: golden"}}
READY = {
    "modelName": "arithmetic",
    "modelVersion": "v1",
    "modelUrl": "",
    "runtime": "python",
    "engine": "python",
    "batchSize": 8,
    "workers": [{"id": "arithmetic-v1", "status": "READY", "gpu": False}],
}
FAILED = {"modelName": "arithmetic", "modelVersion": "v2", "modelUrl": "", "runtime": "python", "workers": []}


@pytest.fixture
async def client():
    cluster = LocalCluster(Executor("v1"), failures={"arithmetic-v2": "CheckFailed: golden"})
    async with plane_of(cluster, TRAFFIC) as plane, client_of(plane) as http:
        yield http


@pytest.mark.parametrize(
    ("path", "versions"),
    [("", [V1, V2]), ("/versions/v1", [V1]), ("/versions/v2", [V2]), ("/labels/canary", [V2])],
)
async def test_tensorflow_status_tells_each_version(client, path, versions):
    response = await client.get("/v1/models/arithmetic" + path)
    assert (response.status_code, response.json()) == (200, {"model_version_status": versions})


async def test_tensorflow_metadata(client):
    for path in ("", "/versions/v1"):
        metadata = (await client.get(f"/v1/models/arithmetic{path}/metadata")).json()
        assert metadata["model_spec"]["version"] == "v1"
        assert "serving_default" in metadata["metadata"]["signature_def"]["signature_def"]


async def test_ping_is_healthy_once_every_model_can_be_answered(client):
    healthy = await client.get("/ping")
    assert (healthy.status_code, healthy.json()) == (200, {"status": "Healthy"})
    async with plane_of(LocalCluster(), TRAFFIC) as plane, client_of(plane) as http:
        unhealthy = await http.get("/ping")
    assert (unhealthy.status_code, unhealthy.json()) == (500, {"status": "Unhealthy"})


async def test_the_models_come_a_page_at_a_time():
    traffic = table(**{name: {"traffic": {"v1": 100}} for name in ("a", "b", "c")})
    async with plane_of(LocalCluster(), traffic) as plane, client_of(plane) as http:
        whole = (await http.get("/models")).json()
        first = (await http.get("/models?limit=2")).json()
        last = (await http.get("/models?limit=2&next_page_token=" + first["nextPageToken"])).json()
    assert whole == {"models": [{"modelName": name, "modelUrl": ""} for name in "abc"]}
    assert first == {"models": whole["models"][:2], "nextPageToken": "2"}
    assert last == {"models": whole["models"][2:]}


@pytest.mark.parametrize(
    ("path", "versions"),
    [("", [READY]), ("/v1", [READY]), ("/v2", [FAILED]), ("/canary", [FAILED]), ("/all", [READY, FAILED])],
)
async def test_torchserve_descriptions_have_a_worker_where_a_version_is_ready(client, path, versions):
    response = await client.get("/models/arithmetic" + path)
    assert (response.status_code, response.json()) == (200, versions)


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/v1/models/cats", 404, "model 'cats' is not served here"),
        ("/v1/models/arithmetic/versions/v9", 404, "no version or label 'v9'"),
        ("/v1/models/arithmetic/versions/v2/metadata", 503, "arithmetic v2 is not ready"),
        ("/models/cats", 404, "model 'cats' is not served here"),
        ("/models/arithmetic/v9", 404, "no version or label 'v9'"),
        ("/models?limit=-1", 400, "query parameter 'limit' is '-1', must be a whole number"),
        ("/models/arithmetic?customized=true", 501, "customized=true: releases have no description"),
    ],
)
async def test_what_is_not_there_is_said(client, path, status, says):
    response = await client.get(path)
    assert response.status_code == status
    assert says in response.json()["error"]
