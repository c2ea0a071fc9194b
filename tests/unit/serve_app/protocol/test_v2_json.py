"""V2 JSON bodies; what is refused stands in support.bad_requests."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from support.arithmetic import INFO

from serve_app.errors import InvalidInput
from serve_app.protocol.call import Call
from serve_app.protocol.v2_json import ALL_JSON, decode_request, encode_response, model_metadata
from serve_app.types import InferenceResponse

CALL = Call("m")


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
    request, form = decode_request(json.dumps(document).encode(), Call("m", "v1", "r1", None, "team", user="ann"))
    assert form is ALL_JSON
    assert (request.model_name, request.model_version, request.id, request.request_id) == ("m", "v1", "mine", "r1")
    assert request.inputs["x"].tolist() == [[1, 2], [3, 4]]
    assert request.inputs["s"].tolist() == [b"a", b"b"]
    assert request.outputs == ("y",)
    assert request.timeout_s == 0.25
    assert request.parameters["tenant"] == "a"
    assert (request.tenant, request.priority, request.user) == ("team", 5, "ann")


def decode(call: Call = CALL, **more):
    tensor = {"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}
    return decode_request(json.dumps({"inputs": [tensor], **more}).encode(), call)


@pytest.mark.parametrize(
    ("timeout_us", "header_s", "expected"),
    [(None, None, None), (None, 2.0, 2.0), (500_000, None, 0.5), (500_000, 2.0, 0.5), (500_000, 0.1, 0.1)],
)
def test_the_smaller_of_both_timeouts_counts(timeout_us, header_s, expected):
    parameters = {} if timeout_us is None else {"timeout": timeout_us}
    assert decode(Call("m", timeout_s=header_s), parameters=parameters)[0].timeout_s == expected


@pytest.mark.parametrize(("given", "level"), [(0, 5), (1, 1), (9, 9)])
def test_priority_0_is_the_default(given, level):
    assert decode(parameters={"priority": given})[0].priority == level


@pytest.mark.parametrize(
    ("given", "shown"), [(-1, "-1"), (10, "10"), (True, "true"), (1.0, "1.0"), ("1", "the string '1'")]
)
def test_a_priority_that_is_none_is_named(given, shown):
    with pytest.raises(InvalidInput, match=f"parameter 'priority' is {shown}, must be a whole number from 0"):
        decode(parameters={"priority": given})


@pytest.mark.parametrize(
    ("parameters", "outputs", "binary"),
    [
        ({}, None, []),
        ({"binary_data_output": False}, None, []),
        ({"binary_data_output": True}, None, ["a", "b"]),
        ({"binary_data_output": True}, [], ["a", "b"]),
        ({}, [{"name": "a"}, {"name": "b", "parameters": {"binary_data": True}}], ["b"]),
        ({"binary_data_output": True}, [{"name": "a", "parameters": {"binary_data": False}}, {"name": "b"}], ["b"]),
        ({"binary_data_output": True}, [{"name": "a", "parameters": {"binary_data": False}}], []),
    ],
)
def test_an_outputs_own_form_goes_over_the_requests(parameters, outputs, binary):
    request, form = decode(parameters=parameters, **({} if outputs is None else {"outputs": outputs}))
    assert [name for name in request.outputs or ("a", "b") if form.is_binary(name)] == binary
    assert (form is ALL_JSON) == (not binary)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"parameters": {"binary_data_output": 1}}, "'parameters' has 1 as binary_data_output, must be true or false"),
        (
            {"outputs": [{"name": "y", "parameters": {"binary_data": "yes"}}]},
            "output 'y' has the string 'yes' as binary_data, must be true or false",
        ),
        (
            {"outputs": [{"name": "y", "parameters": {"classification": -3}}]},
            "output 'y' has -3 as classification, must be a whole number of classes",
        ),
        ({"outputs": [{"name": "y", "parameters": 7}]}, "output 'y' has 'parameters' that are not an object"),
    ],
)
def test_a_form_that_is_none_is_named(more, says):
    with pytest.raises(InvalidInput, match=says):
        decode(**more)


@pytest.mark.parametrize(("given", "classes"), [(3, {"y": 3}), (0, {})])
@pytest.mark.parametrize("binary", [True, False])
def test_best_classes_are_wanted_by_their_number(given, classes, binary):
    _, form = decode(outputs=[{"name": "y", "parameters": {"classification": given, "binary_data": binary}}])
    assert form.classes == classes
    assert form.is_all_json == (not binary)


def test_inputs_have_no_classes():
    tensor = {"name": "x", "datatype": "FP32", "shape": [1], "data": [1], "parameters": {"classification": 1}}
    with pytest.raises(InvalidInput, match="input 'x' has parameter 'classification', which only outputs take"):
        decode_request(json.dumps({"inputs": [tensor]}).encode(), CALL)


def test_a_binary_input_needs_the_header():
    tensor = {"name": "x", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}}
    with pytest.raises(InvalidInput, match="but there is no header 'inference-header-content-length'"):
        decode_request(json.dumps({"inputs": [tensor]}).encode(), CALL)


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


def test_what_was_left_out_is_said():
    outputs, left_out = {"y": np.array([1])}, {"e.big": "m-v1 failed: it is broken", "e.c": "gone"}
    body = json.loads(encode_response(InferenceResponse("m", "v1", outputs, left_out=left_out)))
    assert body["parameters"] == {"left_out": "e.big: m-v1 failed: it is broken; e.c: gone"}


def test_metadata_is_v2_with_what_else_is_known():
    metadata = model_metadata(INFO, ("v1", "v2"))
    assert metadata["name"] == "arithmetic"
    assert metadata["versions"] == ["v1", "v2"]
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]
    assert metadata["parameters"]["device"] == "cpu"
    assert "nodes_ms" not in metadata["parameters"]
    graph = model_metadata(replace(INFO, nodes={"a": {1: 0.5, 8: 2.0}}), ("v1",))
    assert graph["parameters"]["nodes_ms"] == {"a": {"1": 0.5, "8": 2.0}}
