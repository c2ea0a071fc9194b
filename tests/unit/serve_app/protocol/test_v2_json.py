"""V2 JSON bodies; what is refused stands in support.bad_requests."""

from __future__ import annotations

import json

import numpy as np
from support.arithmetic import INFO

from serve_app.protocol.v2_json import decode_request, encode_response, model_metadata
from serve_app.types import InferenceResponse


def test_a_body_becomes_a_request():
    document = {
        "id": "mine",
        "parameters": {"timeout": 250000, "tenant": "a"},
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3, 4]},
            {"name": "s", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]},
        ],
        "outputs": [{"name": "y"}],
    }
    request = decode_request(json.dumps(document).encode(), "m", "v1", "r1")
    assert (request.model_name, request.model_version, request.id, request.request_id) == ("m", "v1", "mine", "r1")
    assert request.inputs["x"].tolist() == [[1, 2], [3, 4]]
    assert request.inputs["s"].tolist() == [b"a", b"b"]
    assert request.outputs == ("y",)
    assert request.timeout_s == 0.25
    assert request.parameters["tenant"] == "a"


def test_an_answer_becomes_a_body():
    outputs = {"y": np.array([[0.5], [1]], np.float32), "total": np.array([3, 4])}
    response = InferenceResponse("m", "v1", outputs, id="mine")
    assert json.loads(encode_response(response)) == {
        "model_name": "m",
        "model_version": "v1",
        "id": "mine",
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [2, 1], "data": [0.5, 1.0]},
            {"name": "total", "datatype": "INT64", "shape": [2], "data": [3, 4]},
        ],
    }


def test_an_answer_without_id_has_none_and_nan_is_null():
    body = json.loads(encode_response(InferenceResponse("m", "v1", {"y": np.array([np.nan, 1])})))
    assert "id" not in body
    assert body["outputs"][0]["data"] == [None, 1.0]


def test_metadata_is_v2_with_what_else_is_known():
    metadata = model_metadata(INFO, ("v1", "v2"))
    assert metadata["name"] == "arithmetic"
    assert metadata["versions"] == ["v1", "v2"]
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]
    assert metadata["parameters"]["device"] == "cpu"
