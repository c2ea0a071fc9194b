"""The cold routes."""

from __future__ import annotations

import pytest
from support.arithmetic import Executor
from support.gateway import client_of, plane_of, table

from serve_app.data_plane.local import LocalCluster

TRAFFIC = table(arithmetic={"traffic": {"v1": 90, "v2": 10}, "labels": {"canary": "v2"}})
MODEL = "/v2/models/arithmetic"


@pytest.fixture
async def client():
    cluster = LocalCluster(Executor("v1"), failures={"arithmetic-v2": "CheckFailed: golden 0"})
    async with plane_of(cluster, TRAFFIC) as plane, client_of(plane) as http:
        yield http


async def test_server_and_health(client):
    server = (await client.get("/v2")).json()
    extensions = [
        "binary_tensor_data",
        "classification",
        "model_configuration",
        "model_repository",
        "schedule_policy",
        "statistics",
    ]
    assert server == {"name": "serve-app", "version": "0.1.0", "extensions": extensions}
    assert (await client.get("/v2/health/live")).json() == {"live": True}
    ready = await client.get("/v2/health/ready")
    assert (ready.status_code, ready.json()) == (200, {"live": True, "ready": True})


async def test_a_server_with_a_model_that_nobody_answers_is_not_ready():
    async with plane_of(LocalCluster(), TRAFFIC) as plane, client_of(plane) as http:
        ready = await http.get("/v2/health/ready")
    assert (ready.status_code, ready.json()) == (503, {"live": True, "ready": False})


@pytest.mark.parametrize("path", [MODEL, MODEL + "/versions/v1"])
async def test_metadata(client, path):
    metadata = (await client.get(path)).json()
    assert metadata["versions"] == ["v1"]
    assert metadata["outputs"][1] == {"name": "total", "datatype": "INT64", "shape": [-1]}


async def test_readiness_of_models_and_versions_with_the_reason(client):
    assert (await client.get(MODEL + "/ready")).json() == {"name": "arithmetic", "ready": True}
    assert (await client.get(MODEL + "/versions/v1/ready")).status_code == 200
    for path in (MODEL + "/versions/v2/ready", MODEL + "/labels/canary/ready"):
        response = await client.get(path)
        assert response.status_code == 503
        assert response.json() == {
            "name": "arithmetic",
            "ready": False,
            "error": "arithmetic v2: CheckFailed: golden 0",
        }


async def test_the_index_tells_states_reasons_and_traffic(client):
    v1 = {
        "name": "arithmetic",
        "version": "v1",
        "state": "READY",
        "reason": "",
        "traffic": 90.0,
        "effective_traffic": 100.0,
        "labels": [],
    }
    v2 = {
        **v1,
        "version": "v2",
        "state": "UNAVAILABLE",
        "reason": "CheckFailed: golden 0",
        "traffic": 10.0,
        "effective_traffic": 0.0,
        "labels": ["canary"],
    }
    assert (await client.post("/v2/repository/index")).json() == [v1, v2]
    assert (await client.post("/v2/repository/index", content=b'{"ready": true}')).json() == [v1]
    assert (await client.post("/v2/repository/any/index")).json() == [v1, v2]


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/nowhere", b"", 404),
        ("GET", "/v2/", b"", 404),
        ("GET", "/v2/models/cats", b"", 404),
        ("GET", MODEL + "/versions/v9", b"", 404),
        ("GET", MODEL + "/versions/v2", b"", 503),
        ("PUT", "/v2", b"", 405),
        ("POST", "/v2/repository/index", b"{", 400),
        ("POST", "/v2/repository/index", b"[]", 400),
    ],
)
async def test_errors_are_sentences(client, method, path, content, status):
    response = await client.request(method, path, content=content)
    assert response.status_code == status
    assert response.json()["error"]


async def test_metrics_are_prometheus_text(client):
    response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")


async def test_a_refused_table_is_told_and_does_not_make_the_server_less_ready():
    async with plane_of(LocalCluster(Executor("v1")), TRAFFIC) as plane, client_of(plane) as http:
        plane.configure({"models": {}})
        ready = await http.get("/v2/health/ready")
    assert ready.status_code == 200
    assert "the traffic table is not taken into use: models: " in ready.json()["error"]
