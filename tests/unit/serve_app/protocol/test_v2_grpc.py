"""V2 messages: every datatype in both forms as bytes worked out by hand, and what is refused."""

from __future__ import annotations

import struct
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb

from serve_app.datatypes import Datatype
from serve_app.errors import InvalidInput, MalformedBody, ServeAppError, TooLarge
from serve_app.protocol.binary_tensor import MAX_BYTES_ELEMENTS
from serve_app.protocol.call import Call
from serve_app.protocol.v2_grpc import LONG_BYTES, decode_request, encode_response, parse_request, serialize_response
from serve_app.types import InferenceRequest, InferenceResponse

CALL = Call("digits", "v1", "r1", 2.0, "acme")
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

TYPED = {
    Datatype.BOOL: ("bool_contents", [True, False]),
    Datatype.UINT8: ("uint_contents", [0, 255]),
    Datatype.UINT16: ("uint_contents", [0, 65535]),
    Datatype.UINT32: ("uint_contents", [0, 4294967295]),
    Datatype.UINT64: ("uint64_contents", [0, 18446744073709551615]),
    Datatype.INT8: ("int_contents", [-128, 127]),
    Datatype.INT16: ("int_contents", [-32768, 32767]),
    Datatype.INT32: ("int_contents", [-2147483648, 2147483647]),
    Datatype.INT64: ("int64_contents", [-9223372036854775808, 9223372036854775807]),
    Datatype.FP32: ("fp32_contents", [0.5, -2.0]),
    Datatype.FP64: ("fp64_contents", [0.1, -2.0]),
    Datatype.BYTES: ("bytes_contents", [b"\xff\0", b""]),
}
RAW = {
    Datatype.BOOL: (b"\1\0", [True, False]),
    Datatype.UINT8: (b"\0\xff", [0, 255]),
    Datatype.UINT16: (b"\0\0\xff\xff", [0, 65535]),
    Datatype.UINT32: (b"\0\0\0\0\xff\xff\xff\xff", [0, 4294967295]),
    Datatype.UINT64: (b"\0" * 8 + b"\xff" * 8, [0, 18446744073709551615]),
    Datatype.INT8: (b"\x80\x7f", [-128, 127]),
    Datatype.INT16: (b"\x00\x80\xff\x7f", [-32768, 32767]),
    Datatype.INT32: (b"\0\0\0\x80\xff\xff\xff\x7f", [-2147483648, 2147483647]),
    Datatype.INT64: (struct.pack("<2q", -(2**63), 2**63 - 1), [-9223372036854775808, 9223372036854775807]),
    Datatype.FP16: (b"\x00\x38\x00\xc0", [0.5, -2.0]),
    Datatype.BF16: (b"\x00\x3f\x00\xc0", [0.5, -2.0]),
    Datatype.FP32: (b"\0\0\0\x3f\0\0\0\xc0", [0.5, -2.0]),
    Datatype.FP64: (struct.pack("<2d", 0.1, -2.0), [0.1, -2.0]),
    Datatype.BYTES: (b"\2\0\0\0\xff\0\0\0\0\0", [b"\xff\0", b""]),
}


def tensor(datatype: str = "FP32", shape=(1, 2), name: str = "x", **contents) -> pb.ModelInferRequest.InferInputTensor:
    given = pb.InferTensorContents(**contents) if contents else None
    return pb.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape, contents=given)


def message(*inputs, raw=(), **more) -> pb.ModelInferRequest:
    return pb.ModelInferRequest(inputs=inputs, raw_input_contents=raw, **more)


def decode(given: pb.ModelInferRequest):
    return decode_request(parse_request(given.SerializeToString()), CALL)


def decoded(given: pb.ModelInferRequest) -> InferenceRequest:
    return decode(given)[0]


def output(name: str, **parameters) -> pb.ModelInferRequest.InferRequestedOutputTensor:
    return pb.ModelInferRequest.InferRequestedOutputTensor(name=name, parameters=parameters)


def test_every_datatype_has_a_case():
    assert set(RAW) == set(Datatype)
    assert set(TYPED) == set(Datatype) - {Datatype.FP16, Datatype.BF16}


@pytest.mark.parametrize("datatype", TYPED)
def test_typed_contents_become_an_array(datatype):
    field, values = TYPED[datatype]
    array = decoded(message(tensor(datatype.value, **{field: values}))).inputs["x"]
    assert (array.dtype, array.shape) == (datatype.dtype, (1, 2))
    assert array.ravel().tolist() == values


@pytest.mark.parametrize("datatype", RAW)
def test_raw_contents_become_an_array(datatype):
    data, values = RAW[datatype]
    array = decoded(message(tensor(datatype.value), raw=[data])).inputs["x"]
    assert (array.dtype, array.shape) == (datatype.dtype, (1, 2))
    assert array.ravel().tolist() == values


@pytest.mark.parametrize("datatype", RAW)
def test_outputs_are_raw_contents(datatype):
    data, values = RAW[datatype]
    array = np.array(values, datatype.dtype).reshape(2, 1)
    answer = encode_response(InferenceResponse("digits", "v1", {"y": array}, id="mine"))
    assert (answer.model_name, answer.model_version, answer.id) == ("digits", "v1", "mine")
    (described,) = answer.outputs
    assert (described.name, described.datatype, list(described.shape)) == ("y", datatype.value, [2, 1])
    assert list(answer.raw_output_contents) == [data]


def test_outputs_keep_their_order():
    outputs = {"b": np.zeros((1, 1), np.int8), "a": np.ones((1, 2), np.int8).T}
    answer = encode_response(InferenceResponse("m", "v1", outputs))
    assert [described.name for described in answer.outputs] == ["b", "a"]
    assert list(answer.raw_output_contents) == [b"\0", b"\1\1"]


def test_a_whole_request_is_read():
    given = message(
        tensor("FP32", fp32_contents=[1, 2]),
        tensor("INT64", (1,), "n", int64_contents=[3]),
        id="mine",
        parameters={
            "timeout": pb.InferParameter(int64_param=500_000),
            "priority": pb.InferParameter(uint64_param=2),
            "who": pb.InferParameter(string_param="me"),
            "half": pb.InferParameter(double_param=0.5),
            "dry": pb.InferParameter(bool_param=False),
        },
        outputs=[output("label"), output("scores", classification=pb.InferParameter(int64_param=3))],
    )
    request, classes = decode(given)
    assert {name: array.tolist() for name, array in request.inputs.items()} == {"x": [[1.0, 2.0]], "n": [3]}
    assert replace(request, inputs={}) == InferenceRequest(
        "digits",
        {},
        "v1",
        ("label", "scores"),
        "mine",
        "r1",
        {"timeout": 500_000, "priority": 2, "who": "me", "half": 0.5, "dry": False},
        0.5,
        2,
        "acme",
    )
    assert classes == {"scores": 3}


def test_a_plain_request_takes_the_calls_time_and_the_default_priority():
    request, classes = decode(message(tensor(fp32_contents=[1, 2])))
    assert (request.timeout_s, request.priority, request.outputs, request.id) == (2.0, 5, (), "")
    assert classes == {}


SHARED = {"shared_memory_region": pb.InferParameter(string_param="mine")}
BAD = {
    "no inputs": (message(), "'inputs' is empty"),
    "257 inputs": (message(*[tensor()] * 257), "'inputs' has 257 members, the limit is 256"),
    "257 outputs": (message(outputs=[output("y")] * 257), "'outputs' has 257 members"),
    "a long name": (message(tensor(name="x" * 257)), "the name of an input has 257 characters, the limit is 256"),
    "a long id": (message(tensor(fp32_contents=[1, 2]), id="x" * 257), "'id' has 257 characters"),
    "twice": (message(tensor(fp32_contents=[1, 2]), tensor(fp32_contents=[1, 2])), "input 'x' is given twice"),
    "one raw for two": (message(tensor(), tensor(name="y"), raw=[b""]), "has 1 members and 'inputs' 2"),
    "both forms": (message(tensor(fp32_contents=[1, 2]), raw=[b"\0" * 8]), "has both 'contents' and"),
    "raw too short": (message(tensor(), raw=[b"\0" * 7]), r"has 7 bytes, shape \[1, 2\] of FP32 has 8"),
    "no contents": (message(tensor()), r"has 0 elements in 'fp32_contents', shape \[1, 2\] has 2"),
    "too many": (message(tensor(fp32_contents=[1, 2, 3])), "has 3 elements in 'fp32_contents'"),
    "another field": (message(tensor(fp64_contents=[1, 2])), "is FP32 and has 'fp64_contents'; .*'fp32_contents'"),
    "two fields": (message(tensor(fp32_contents=[1, 2], bool_contents=[True])), "is FP32 and has 'bool_contents'"),
    "typed FP16": (message(tensor("FP16", fp32_contents=[1, 2])), "is FP16, which has no field in 'contents'"),
    "typed BF16": (message(tensor("BF16", fp32_contents=[1, 2])), "is BF16, which has no field in 'contents'"),
    "INT8 128": (message(tensor("INT8", int_contents=[1, 128])), "has the element 128, which INT8 cannot hold"),
    "UINT16 65536": (message(tensor("UINT16", uint_contents=[65536, 0])), "has the element 65536, which UINT16"),
    "no datatype": (message(tensor("FP8")), "input 'x' has unknown datatype 'FP8'"),
    "no shape": (message(tensor(shape=())), "has an empty 'shape'"),
    "negative shape": (message(tensor(shape=(-1, 2))), "needs a 'shape'"),
    "33 axes": (message(tensor(shape=(1,) * 33)), "up to 32 whole numbers"),
    "an axis of 2**40": (message(tensor(shape=(2**40,))), "needs a 'shape'"),
    "no array": (message(tensor("INT8", shape=(0, *[2**39] * 2))), "which no array can have"),
    "empty parameter": (message(parameters={"a": pb.InferParameter()}), "parameter 'a' has no value"),
    "output twice": (message(outputs=[output("y"), output("y")]), "output 'y' is asked for twice"),
    "classes": (
        message(outputs=[output("y", classification=pb.InferParameter(int64_param=-1))]),
        "output 'y' has .* as classification",
    ),
    "classes of an input": (
        message(
            pb.ModelInferRequest.InferInputTensor(
                name="x", parameters={"classification": pb.InferParameter(int64_param=1)}
            )
        ),
        "which only outputs take",
    ),
    "shared memory in": (
        message(pb.ModelInferRequest.InferInputTensor(name="x", parameters=SHARED)),
        "input 'x' has parameter 'shared_memory_region': this server never",
    ),
    "shared memory out": (message(outputs=[output("y", **SHARED)]), "output 'y' has parameter 'shared_memory_region'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_messages_are_refused_with_a_sentence(name):
    given, sentence = BAD[name]
    with pytest.raises((MalformedBody, InvalidInput), match=sentence):
        decode(given)


def test_too_many_bytes_elements_are_refused():
    count = MAX_BYTES_ELEMENTS + 1
    with pytest.raises(TooLarge, match=f"input 'x' has {count} BYTES elements, the limit is {MAX_BYTES_ELEMENTS}"):
        decode(message(tensor("BYTES", (count,), bytes_contents=[b""] * count)))


shapes = st.lists(st.integers(-2, 2**41) | st.integers(0, 3), max_size=3)
inputs = st.builds(
    lambda datatype, shape, numbers, name: tensor(datatype, shape, name, **numbers),
    st.sampled_from([*Datatype, "", "FP8"]),
    shapes,
    st.fixed_dictionaries(
        {},
        optional={
            "int_contents": st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4),
            "fp32_contents": st.lists(st.floats(width=32), max_size=4),
            "bytes_contents": st.lists(st.binary(max_size=4), max_size=4),
        },
    ),
    st.text(max_size=3),
)


@given(st.lists(inputs, max_size=3), st.lists(st.binary(max_size=16), max_size=3))
def test_any_message_gives_arrays_or_an_error_of_ours(tensors, raw):
    try:
        request = decoded(message(*tensors, raw=raw))
    except ServeAppError:
        return
    for item in tensors:
        array = request.inputs[item.name]
        assert (list(array.shape), array.dtype) == (list(item.shape), Datatype(item.datatype).dtype)


def test_what_was_left_out_is_said():
    outputs = {"y": np.array([1])}
    assert not encode_response(InferenceResponse("m", "v1", outputs)).parameters
    answer = encode_response(InferenceResponse("m", "v1", outputs, left_out={"e.big": "gone"}))
    assert answer.parameters["left_out"].string_param == "e.big: gone"


def test_long_raw_contents_are_views_of_what_came():
    count = LONG_BYTES // 4
    array = np.arange(count, dtype="<f4")
    data = message(
        tensor(shape=(1, count)), tensor(name="z", shape=(1,)), raw=[array.tobytes(), b"\0\0\0\x3f"]
    ).SerializeToString()
    given = parse_request(data)
    assert not given.message.raw_input_contents
    assert [len(part) for part in given.raw] == [array.nbytes, 4]
    assert given.raw[0].obj is data
    request, _ = decode_request(given, CALL)
    np.testing.assert_array_equal(request.inputs["x"], [array])
    assert request.inputs["z"].tolist() == [0.5]


def test_an_answer_in_bytes_is_the_message():
    outputs = {"y": np.arange(6, dtype=np.float32).reshape(2, 3), "t": np.array([b"one", b""], dtype=object)}
    response = InferenceResponse("m", "v1", outputs, id="mine", left_out={"e.big": "gone"})
    sent = pb.ModelInferResponse.FromString(serialize_response(response).SerializeToString())
    assert sent == encode_response(response)
