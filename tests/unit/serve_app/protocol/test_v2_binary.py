"""V2 bodies with binary tensors."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.arithmetic import INFO

from serve_app.datatypes import Datatype
from serve_app.errors import InvalidInput, MalformedBody, RequestError
from serve_app.protocol.call import Call
from serve_app.protocol.v2_binary import decode_mixed, decode_raw, encode_response, json_length_of
from serve_app.protocol.v2_json import ALL_BINARY, OutputForm
from serve_app.types import InferenceResponse, TensorSpec

CALL = Call("m", "v1", "r1", 0.5, "team", user="ann")


def tensor(name: str, datatype: str, shape: list[int], nbytes: object) -> dict[str, object]:
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": nbytes}}


def decode(document: object, tail: bytes):
    head = json.dumps(document).encode()
    return decode_mixed(head + tail, len(head), CALL)


def one_input(datatype: Datatype, *shape: int):
    return replace(INFO, inputs=(TensorSpec("x", datatype, shape),))


def test_json_and_binary_inputs_mix_and_the_bytes_come_in_order():
    document = {
        "inputs": [
            tensor("a", "INT16", [2], 4),
            {"name": "b", "datatype": "FP32", "shape": [2], "data": [0.5, 1]},
            tensor("c", "BYTES", [1, 2], 11),
            tensor("d", "FP16", [1], 2),
        ]
    }
    request, _ = decode(document, b"\x01\0\xff\xff" + b"\x02\0\0\0hi\x01\0\0\0!" + b"\x00\x3c")
    assert {name: array.tolist() for name, array in request.inputs.items()} == {
        "a": [1, -1],
        "b": [0.5, 1],
        "c": [[b"hi", b"!"]],
        "d": [1.0],
    }
    assert (request.model_name, request.model_version, request.request_id) == ("m", "v1", "r1")
    assert (request.timeout_s, request.tenant, request.user) == (0.5, "team", "ann")


@pytest.mark.parametrize(
    ("inputs", "tail", "says"),
    [
        ([tensor("a", "INT16", [2], 4)], b"\0" * 3, "input 'a' has binary_data_size 4, but only 3 bytes are left"),
        ([tensor("a", "INT16", [2], 4)], b"\0" * 5, "the body has 1 bytes behind its last tensor"),
        ([tensor("a", "INT16", [3], 4)], b"\0" * 4, r"input 'a' has 4 bytes, shape \[3\] of INT16 has 6"),
        ([tensor("a", "INT16", [-2], 4)], b"\0" * 4, "input 'a' needs a 'shape'"),
        ([tensor("a", "INT16", [2], -4)], b"\0" * 4, "input 'a' has -4 as binary_data_size, must be a whole number"),
        ([tensor("a", "INT16", [2], True)], b"\0", "input 'a' has true as binary_data_size"),
        ([tensor("a", "INT16", [2], 4.0)], b"\0" * 4, "input 'a' has 4.0 as binary_data_size"),
        ([tensor("a", "INT16", [2], "4")], b"\0" * 4, "input 'a' has the string '4' as binary_data_size"),
        ([tensor("a", "INT16", [2], 2**63)], b"\0" * 4, "only 4 bytes are left of the body"),
        ([{**tensor("a", "INT16", [2], 4), "data": [1, 2]}], b"\0" * 4, "has both 'data' and binary_data_size"),
        ([{**tensor("a", "INT16", [2], 4), "parameters": [4]}], b"\0" * 4, "'parameters' that are not an object"),
        (
            [{**tensor("a", "INT16", [2], 4), "parameters": {"shared_memory_region": "r"}}],
            b"",
            "input 'a' has parameter 'shared_memory_region': this server never reads or writes a client's shared",
        ),
        ([tensor("a", "INT16", [2], None)], b"", "input 'a' has no 'data' and no binary_data_size"),
        ([], b"\0", "'inputs' is empty"),
    ],
)
def test_what_does_not_fit_is_named(inputs, tail, says):
    with pytest.raises(RequestError, match=says):
        decode({"inputs": inputs}, tail)


@pytest.mark.parametrize("field", ["12", "0", "0000000000000000000"])
def test_a_length_is_digits(field):
    assert json_length_of(field, b"x" * 12) == int(field)


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("13", "is 13, but the body has 12 bytes"),
        ("-1", "is '-1', must be a whole number of bytes"),
        ("1.0", "is '1.0', must be"),
        ("²", r"is '\\xb2', must be"),
        ("9" * 30, "is '9{30}', must be a whole number of bytes"),
        ("soon", "is 'soon', must be"),
        (" 1", "is ' 1', must be"),
    ],
)
def test_a_length_that_is_none_is_named(field, says):
    with pytest.raises(MalformedBody, match=f"header 'inference-header-content-length' {says}"):
        json_length_of(field, b"x" * 12)


@pytest.mark.parametrize(
    ("datatype", "shape", "nbytes", "expected"),
    [
        (Datatype.FP32, (-1, 3), 24, (2, 3)),
        (Datatype.FP32, (-1, 3), 0, (0, 3)),
        (Datatype.INT8, (-1,), 7, (7,)),
        (Datatype.FP16, (-1, 2, 2), 8, (1, 2, 2)),
        (Datatype.BF16, (-1, 2), 8, (2, 2)),
        (Datatype.UINT8, (-1, -1, 3), 12, (1, 4, 3)),
        (Datatype.INT64, (-1, -1), 24, (1, 3)),
    ],
)
def test_the_shape_of_a_raw_body_follows_from_its_bytes(datatype, shape, nbytes, expected):
    request = decode_raw(bytes(nbytes), one_input(datatype, *shape), CALL)
    assert request.inputs["x"].shape == expected
    assert request.inputs["x"].dtype == datatype.dtype
    assert (request.model_name, request.model_version, request.request_id) == ("m", "v1", "r1")
    assert (request.timeout_s, request.tenant) == (0.5, "team")


@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (-1, -1)])
def test_a_raw_body_of_bytes_is_one_element_untouched(shape):
    array = decode_raw(b"\xffend\0\0", one_input(Datatype.BYTES, *shape), CALL).inputs["x"]
    assert array.shape == (1,) * len(shape)
    assert array.ravel().tolist() == [b"\xffend\0\0"]


@pytest.mark.parametrize(
    ("info", "nbytes", "says"),
    [
        (one_input(Datatype.FP32, -1, 3), 20, r"input 'x' has shape \[-1, 3\] of FP32: 20 bytes are no multiple of 12"),
        (one_input(Datatype.FP32, -1, -1, -1), 8, "a raw binary body does not say the lengths of 2 free axes"),
        (one_input(Datatype.BYTES, -1, 2), 8, r"is BYTES of shape \[-1, 2\]; a raw binary body is one element"),
        (one_input(Datatype.BOOL, -1), 0, None),
        (replace(INFO, inputs=INFO.inputs * 2), 8, "a raw binary body needs a model with one input, arithmetic has 2"),
    ],
)
def test_a_raw_body_that_fits_no_shape_is_refused(info, nbytes, says):
    if says is None:
        assert decode_raw(bytes(nbytes), info, CALL).inputs["x"].shape == (0,)
        return
    with pytest.raises(InvalidInput, match=says):
        decode_raw(bytes(nbytes), info, CALL)


def test_binary_outputs_follow_the_json_in_order():
    outputs = {
        "y": np.array([[1, -1]], np.int16),
        "z": np.array([0.5], np.float32),
        "s": np.array([b"hi", b""], object),
        "h": np.array([1], ml_dtypes.bfloat16),
    }
    form = OutputForm(by_name={"y": True, "z": False, "s": True, "h": True})
    body, json_length = encode_response(InferenceResponse("m", "v1", outputs, id="mine"), form)
    assert json.loads(body[:json_length]) == {
        "model_name": "m",
        "model_version": "v1",
        "id": "mine",
        "outputs": [
            {"name": "y", "datatype": "INT16", "shape": [1, 2], "parameters": {"binary_data_size": 4}},
            {"name": "z", "datatype": "FP32", "shape": [1], "data": [0.5]},
            {"name": "s", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": 10}},
            {"name": "h", "datatype": "BF16", "shape": [1], "parameters": {"binary_data_size": 2}},
        ],
    }
    assert body[json_length:] == b"\x01\0\xff\xff" + b"\x02\0\0\0hi\0\0\0\0" + b"\x80\x3f"


def test_a_half_float_output_that_is_not_asked_for_as_binary_is_an_error():
    response = InferenceResponse("m", "v1", {"y": np.zeros(1, np.int8), "h": np.zeros(1, np.float16)})
    with pytest.raises(InvalidInput, match="output 'h' is FP16, which JSON cannot carry; ask for binary data"):
        encode_response(response, OutputForm(by_name={"y": True}))
    assert len(encode_response(response, ALL_BINARY)[0]) > 3


@given(st.binary(max_size=200), st.integers(1, 200))
def test_arbitrary_bytes_are_a_request_or_an_error_of_ours(body, json_length):
    with suppress(RequestError):
        decode_mixed(body, min(json_length, len(body)), CALL)


LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=3)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner))
PARAMETERS = VALUES | st.fixed_dictionaries(
    {}, optional={name: VALUES for name in ("binary_data_size", "binary_data", "timeout", "priority")}
)
TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "name": VALUES | st.just("x"),
        "datatype": VALUES | st.sampled_from([*Datatype]),
        "shape": VALUES | st.lists(st.integers(-1, 4), max_size=3),
        "data": VALUES | st.lists(VALUES, max_size=4),
        "parameters": PARAMETERS,
    },
)
DOCUMENTS = VALUES | st.fixed_dictionaries(
    {}, optional={"inputs": st.lists(TENSORS, max_size=3), "outputs": st.lists(TENSORS), "parameters": PARAMETERS}
)


@given(DOCUMENTS, st.binary(max_size=16))
def test_almost_right_documents_are_a_request_or_an_error_of_ours(document, tail):
    with suppress(RequestError):
        decode(document, tail)


@given(st.binary(max_size=64), st.sampled_from(Datatype), st.lists(st.sampled_from([-1, 1, 2, 3]), max_size=3))
def test_arbitrary_raw_bytes_are_a_request_or_an_error_of_ours(body, datatype, axes):
    with suppress(RequestError):
        assert decode_raw(body, one_input(datatype, -1, *axes), CALL).inputs["x"].ndim == 1 + len(axes)
