"""The short cut means what the ordinary parser means, or leaves the body to it."""

from __future__ import annotations

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.datatypes import Datatype
from serve_app.errors import ServeAppError
from serve_app.protocol import v2_json
from serve_app.protocol.call import Call
from serve_app.protocol.json_numbers import MIN_BYTES, parse_numbers

NUMBERS = [datatype.value for datatype in Datatype if datatype.dtype.kind in "iuf" and datatype is not Datatype.FP16]


def body(data: object, datatype: str = "FP32", shape: object = None, **more: object) -> bytes:
    given_shape = [len(data)] if shape is None and isinstance(data, list) else shape
    tensor = {"name": "x", "datatype": datatype, "shape": given_shape, "data": data}
    return orjson.dumps({"inputs": [tensor], **more})


def outcome(document: bytes, *, short: bool) -> object:
    """What decoding gives, with the short cut or without: a result, or an error's sentence."""
    padded = document if not short else document + b" " * max(0, MIN_BYTES - len(document))
    if not short and len(padded) >= MIN_BYTES:
        padded = bytearray(document)  # which the short cut does not take
    try:
        request, form = v2_json.decode_request(padded, Call("m"))
    except ServeAppError as error:
        return type(error), str(error) if "not JSON" not in str(error) else ""
    tensors = {name: (array.dtype, array.shape, array.tolist()) for name, array in request.inputs.items()}
    return repr((tensors, request.id, request.parameters, request.outputs, form))


@pytest.mark.parametrize("datatype", NUMBERS)
def test_flat_numbers_are_read_without_an_object_each(datatype):
    document = parse_numbers(body([1, 2, 3], datatype, [3, 1], id="7", parameters={"priority": 2}))
    (tensor,) = document.pop("inputs")
    assert tensor["data"].dtype == Datatype(datatype).dtype
    assert (tensor["data"].tolist(), tensor["shape"], tensor["name"]) == ([1, 2, 3], [3, 1], "x")
    assert document == {"id": "7", "parameters": {"priority": 2}}


@pytest.mark.parametrize(
    "document",
    [
        body([[1, 2]]),
        body([1, [2]]),
        body([1, "a"]),
        body([1, None]),
        body([True, 1]),
        body([1.5], "INT32"),
        body([300], "UINT8"),
        body([-1], "UINT64"),
        body([1], "FP16"),
        body(["a"], "BYTES"),
        body([1], "complex"),
        body([1], id="[in a string"),
        body({"a": 1}, shape=[1]),
        b"[1]",
        b"1",
        b"{}",
        b'{"inputs": 3}',
        b'{"inputs": [3]}',
        b'{"inputs": [{"name": "x"}]}',
        b'{"inputs": [{"name": "x", "datatype": ["FP32"], "shape": [1], "data": [1]}]}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1e999]}]}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [NaN]}]}',
        b"\xff",
        b"",
        b"[" * 5000,
    ],
)
def test_whatever_else_is_left_to_the_ordinary_parser(document):
    assert parse_numbers(document) is None
    assert outcome(document, short=True) == outcome(document, short=False)


NUMBER = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-5, 300)
LEAF = NUMBER | st.booleans() | st.none() | st.text(max_size=3)


@given(
    st.lists(NUMBER, max_size=20) | st.lists(LEAF | st.lists(NUMBER, max_size=2), max_size=5),
    st.sampled_from([datatype.value for datatype in Datatype]),
    st.lists(st.integers(-1, 6), max_size=3) | st.none(),
    st.fixed_dictionaries(
        {}, optional={"id": st.text(max_size=4), "parameters": st.just({"a": [1]}) | st.just({"b": 2})}
    ),
)
def test_both_ways_have_the_same_outcome(data, datatype, shape, more):
    try:
        document = body(data, datatype, shape, **more)
    except orjson.JSONEncodeError:  # integers beyond 64 bits are written by hand
        document = body([0], datatype, shape, **more).replace(b'"data":[0]', f'"data":[{data[0]}]'.encode())
    assert outcome(document, short=True) == outcome(document, short=False)


@given(st.binary(max_size=60))
def test_any_bytes_have_the_same_outcome(document):
    assert outcome(document, short=True) == outcome(document, short=False)


def test_the_last_of_two_equal_names_counts():
    twice = (
        b'{"id":"a","inputs":[],"id":"b","inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1],"data":[2]}]}'
    )
    assert outcome(twice, short=True) == outcome(twice, short=False)


def test_floats_are_rounded_as_ever():
    values = np.random.default_rng(0).normal(size=5000) * 10.0 ** np.random.default_rng(1).integers(-40, 40, 5000)
    for datatype in ("FP32", "FP64"):
        document = body(values.tolist(), datatype)
        (fast,) = parse_numbers(document)["inputs"]
        request, _ = v2_json.decode_request(bytearray(document), Call("m"))
        np.testing.assert_array_equal(fast["data"], request.inputs["x"])
