"""Every bad request gets its status and a sentence, in no time, and the gateway goes on."""

from __future__ import annotations

import time

import numpy as np
import pytest
from support.arithmetic import Executor
from support.bad_requests import BAD_REQUESTS, MAX_BODY_BYTES, BadRequest, body, tensor
from support.gateway import client_of, plane_of, table

from serve_app.config.gateway import LimitsConfig
from serve_app.data_plane.local import LocalCluster
from serve_app.datatypes import Datatype
from serve_app.types import TensorSpec

SIGNATURE = {
    "model": "digits",
    "inputs": (TensorSpec("pixels", Datatype.FP32, (-1, 64)),),
    "outputs": (TensorSpec("probabilities", Datatype.FP32, (-1, 10)), TensorSpec("label", Datatype.INT64, (-1,))),
    "prediction": "label",
}


def digits(inputs):
    rows = len(inputs["pixels"])
    return {"probabilities": np.zeros((rows, 10), np.float32), "label": np.arange(rows)}


@pytest.fixture
async def client():
    cluster = LocalCluster(*(Executor(tag, digits, **SIGNATURE) for tag in ("v1", "v2")))
    traffic = table("digits", digits={"traffic": {"v1": 90, "v2": 10}, "labels": {"stable": "v1"}})
    async with (
        plane_of(cluster, traffic, LimitsConfig(max_body_bytes=MAX_BODY_BYTES)) as plane,
        client_of(plane) as http,
    ):
        yield http


@pytest.mark.parametrize("bad", BAD_REQUESTS, ids=lambda bad: bad.name)
async def test_a_bad_request_is_refused_with_a_sentence(client, bad: BadRequest):
    started = time.perf_counter()
    response = await client.request(bad.method, bad.path, content=bad.body, headers=bad.headers)
    assert time.perf_counter() - started < 1
    assert response.status_code == bad.status, response.text
    assert bad.says in response.json()["error"]
    good = await client.post("/v2/models/digits/infer", content=body(tensor()))
    assert good.status_code == 200


def test_the_table_has_no_duplicates():
    names = [bad.name for bad in BAD_REQUESTS]
    assert len(set(names)) == len(names) >= 30
