"""The same rows through every protocol give the same numbers, bit for bit."""

from __future__ import annotations

import json

import httpx
import numpy as np
import pytest
from support.arithmetic import Executor
from support.gateway import client_of, plane_of, table

from serve_app.data_plane.local import LocalCluster

MODEL = "arithmetic"
X = np.array([[0.1, 1 / 3, -np.pi], [1e-7, 3e18, -0.0], [5e-45, 16777217.0, 0.7]], np.float32)
Y = 2 * X + 1
ROWS = X.tolist()
TENSOR = {"name": "x", "datatype": "FP32", "shape": [3, 3]}
BINARY = json.dumps(
    {"inputs": [{**TENSOR, "parameters": {"binary_data_size": 36}}], "outputs": [{"name": "y"}]}
).encode()
LENGTH = "inference-header-content-length"
NPY = ("x.bin", X.tobytes(), "application/octet-stream")


def v2_json(response: httpx.Response) -> object:
    return next(output["data"] for output in response.json()["outputs"] if output["name"] == "y")


def v2_binary(response: httpx.Response) -> object:
    start = int(response.headers[LENGTH])
    return np.frombuffer(response.content[start:], "<f4", Y.size)


REQUESTS = {
    "V2 JSON": (f"/v2/models/{MODEL}/infer", {"json": {"inputs": [{**TENSOR, "data": ROWS}]}}, v2_json),
    "V2 binary in": (
        f"/v2/models/{MODEL}/infer",
        {"content": BINARY + X.tobytes(), "headers": {LENGTH: str(len(BINARY))}},
        v2_json,
    ),
    "V2 binary out": (
        f"/v2/models/{MODEL}/infer",
        {"json": {"inputs": [{**TENSOR, "data": ROWS}], "parameters": {"binary_data_output": True}}},
        v2_binary,
    ),
    "V2 raw": (f"/v2/models/{MODEL}/infer", {"content": X.tobytes(), "headers": {LENGTH: "0"}}, v2_binary),
    "Flask": ("/predict", {"json": {"input": ROWS}}, lambda response: response.json()["prediction"]),
    "TensorFlow rows": (
        f"/v1/models/{MODEL}:predict",
        {"json": {"instances": ROWS}},
        lambda response: [row["y"] for row in response.json()["predictions"]],
    ),
    "TensorFlow columns": (
        f"/v1/models/{MODEL}:predict",
        {"json": {"inputs": {"x": ROWS}}},
        lambda response: response.json()["outputs"]["y"],
    ),
    "TensorFlow classify": (
        f"/v1/models/{MODEL}:classify",
        {"json": {"examples": [{"x": row} for row in ROWS]}},
        lambda response: [[score for _, score in row] for row in response.json()["results"]],
    ),
    "TorchServe JSON": (f"/predictions/{MODEL}", {"json": ROWS}, httpx.Response.json),
    "TorchServe raw": (f"/predictions/{MODEL}", {"content": X.tobytes()}, httpx.Response.json),
    "TorchServe form": (f"/predictions/{MODEL}/v1", {"files": {"data": NPY}}, httpx.Response.json),
}


@pytest.fixture
async def client():
    traffic = table(MODEL, arithmetic={"traffic": {"v1": 100}})
    cluster = LocalCluster(Executor("v1", prediction="y"))
    async with plane_of(cluster, traffic) as plane, client_of(plane) as http:
        yield http


@pytest.mark.parametrize("name", REQUESTS)
async def test_every_protocol_gives_the_same_bits(client, name):
    path, body, y_of = REQUESTS[name]
    response = await client.post(path, **body)
    assert response.status_code == 200, response.text
    assert response.headers["x-model-version"] == "v1"
    assert np.array(y_of(response), np.float32).reshape(3, 3).tobytes() == Y.tobytes()
