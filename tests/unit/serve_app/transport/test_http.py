"""The hot routes."""

from __future__ import annotations

import itertools
import json
import re

import pytest
from support.arithmetic import Executor, Recording
from support.gateway import client_of, plane_of, table

from serve_app.data_plane.local import LocalCluster
from serve_app.transport.http import InferRoute, match_infer

TRAFFIC = table("arithmetic", arithmetic={"traffic": {"v1": 100}, "labels": {"stable": "v1"}})
INFER = "/v2/models/arithmetic/infer"


def body(*values: float, **more) -> bytes:
    data = [[value] * 3 for value in values]
    tensor = {"name": "x", "datatype": "FP32", "shape": [len(values), 3], "data": data}
    return json.dumps({"inputs": [tensor], **more}).encode()


@pytest.fixture
async def client():
    async with plane_of(LocalCluster(Executor("v1")), TRAFFIC) as plane, client_of(plane) as http:
        yield http


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/predict", InferRoute("")),
        ("/v2/models/m/infer", InferRoute("m")),
        ("/v2/models/m/versions/v1/infer", InferRoute("m", "v1")),
        ("/v2/models/m/labels/stable/infer", InferRoute("m", "stable")),
        ("/v2/models/m", None),
        ("/v2/models/infer", None),
        ("/v2/models/m/versions//infer", None),
        ("/v2/models//infer", None),
        ("/v2/models//versions/v1/infer", None),
        ("/v2/models/m/other/v1/infer", None),
        ("/v2/models/m/versions/v1/x/infer", None),
        ("/predict/", None),
    ],
)
def test_routes(path, route):
    assert match_infer(path) == route


@pytest.mark.parametrize(
    "path", [INFER, "/v2/models/arithmetic/versions/v1/infer", "/v2/models/arithmetic/labels/stable/infer"]
)
async def test_v2_infer(client, path):
    response = await client.post(path, content=body(1, 2, id="mine"))
    assert response.status_code == 200
    answer = response.json()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("arithmetic", "v1", "mine")
    assert {output["name"]: output["data"] for output in answer["outputs"]} == {
        "y": [3, 3, 3, 5, 5, 5],
        "total": [3, 6],
    }


async def test_predict(client):
    response = await client.post("/predict", content=b'{"input": [[1, 1, 1], [2, 2, 2]]}')
    assert response.json() == {"prediction": [3, 6]}


async def test_answers_say_who_answered_and_where_the_time_went(client):
    response = await client.post(INFER, content=body(1), headers={"x-request-id": "abc"})
    assert response.headers["x-request-id"] == "abc"
    assert response.headers["x-model-version"] == "v1"
    stages = re.findall(r"(\w+);dur=\d+\.\d{3}", response.headers["server-timing"])
    assert stages == ["gateway", "queue", "batch", "compute"]


@pytest.mark.parametrize("given", ["", "x" * 129, "with space", "new\tline"])
async def test_a_request_id_that_cannot_be_logged_is_replaced(client, given):
    response = await client.post(INFER, content=body(1), headers={"x-request-id": given})
    assert response.status_code == 200
    assert response.headers["x-request-id"] not in ("", given)


async def test_refusals_for_want_of_capacity_say_when_to_retry():
    async with plane_of(LocalCluster(), TRAFFIC) as plane, client_of(plane) as http:
        response = await http.post(INFER, content=body(1))
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json() == {
        "error": "arithmetic is not ready: v1: no application of that name is deployed",
    }


async def test_a_deadline_that_passes_is_504():
    model = Recording(held=True)
    async with plane_of(LocalCluster(Executor("v1", model)), TRAFFIC) as plane, client_of(plane) as http:
        response = await http.post(INFER, content=body(1, parameters={"timeout": 20000}))
        model.release()
    assert response.status_code == 504
    assert response.json()["error"] == "arithmetic-v1 could not answer within 0.02 s"


async def test_a_model_that_raises_is_500_without_its_details(caplog):
    def broken(inputs):
        raise ValueError("/secret/path")

    async with plane_of(LocalCluster(Executor("v1", broken)), TRAFFIC) as plane, client_of(plane) as http:
        response = await http.post(INFER, content=body(1))
    assert response.status_code == 500
    assert response.json() == {"error": "arithmetic-v1 failed: it raised ValueError"}
    assert "/secret/path" in caplog.text


async def test_a_fault_of_ours_is_500_with_the_id_that_is_in_the_log(caplog):
    async with plane_of(LocalCluster(Executor("v1")), TRAFFIC) as plane, client_of(plane) as http:
        plane.infer = None
        response = await http.post(INFER, content=body(1), headers={"x-request-id": "r7"})
    assert response.status_code == 500
    assert response.json()["error"] == "internal error; the server's log has it under request id r7"
    assert "internal error on request r7" in caplog.text


async def test_predict_without_a_default_model_is_404():
    traffic = table(arithmetic={"traffic": {"v1": 100}})
    async with plane_of(LocalCluster(Executor("v1")), traffic) as plane, client_of(plane) as http:
        response = await http.post("/predict", content=b'{"input": [[1, 1, 1]]}')
    assert response.status_code == 404


async def test_predict_gives_the_prediction_of_the_version_that_answered():
    cluster = LocalCluster(Executor("v1"), Executor("v2", prediction="y"))
    traffic = table("arithmetic", arithmetic={"traffic": {"v1": 50, "v2": 50}})
    points = itertools.cycle([0.1, 0.9])
    async with plane_of(cluster, traffic, random_point=lambda: next(points)) as plane, client_of(plane) as http:
        answers = [(await http.post("/predict", content=b'{"input": [1, 1, 1]}')).json() for _ in range(4)]
    assert answers == [{"prediction": [3]}, {"prediction": [[3, 3, 3]]}] * 2


async def test_requests_that_cannot_be_decoded_are_accounted_for_too(caplog):
    caplog.set_level("INFO", "serve_app.request")
    async with plane_of(LocalCluster(Executor("v1")), TRAFFIC) as plane, client_of(plane) as http:
        await http.post(INFER, content=b"{}", headers={"x-request-id": "r1"})
        await http.post("/v2/models/made-up/infer", content=b"{}", headers={"x-request-id": "r2"})
    lines = [json.loads(record.message) for record in caplog.records if record.name == "serve_app.request"]
    assert [(line["request_id"], line["model"], line["outcome"]) for line in lines] == [
        ("r1", "arithmetic", "MalformedBody"),
        ("r2", "unknown", "MalformedBody"),
    ]
