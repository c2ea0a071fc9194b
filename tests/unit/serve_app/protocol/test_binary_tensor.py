"""Binary tensors, both ways."""

from __future__ import annotations

import math
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serve_app.datatypes import Datatype
from serve_app.errors import InvalidInput, MalformedBody, RequestError, TooLarge
from serve_app.protocol.binary_tensor import (
    COPIED_BY_NUMPY_BYTES,
    MAX_BYTES_ELEMENTS,
    BinarySection,
    from_array,
    joined,
    to_array,
)

SHAPES = arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)


@pytest.mark.parametrize(
    ("datatype", "data", "expected"),
    [
        (Datatype.BOOL, b"\x01\x00", [True, False]),
        (Datatype.UINT8, b"\xff\x00", [255, 0]),
        (Datatype.INT16, b"\xfe\xff\x01\x00", [-2, 1]),
        (Datatype.UINT32, b"\x01\x02\x00\x00", [513]),
        (Datatype.INT64, b"\xff" * 8, [-1]),
        (Datatype.FP16, b"\x00\x3c\x00\xc0", [1.0, -2.0]),
        (Datatype.BF16, b"\x80\x3f\x00\xc0", [1.0, -2.0]),
        (Datatype.FP32, b"\x00\x00\x80\x3f", [1.0]),
        (Datatype.FP64, b"\0\0\0\0\0\0\xf0\x3f", [1.0]),
        (Datatype.BYTES, b"\x02\0\0\0\xff\0\x00\0\0\0", [b"\xff\0", b""]),
    ],
)
def test_bytes_are_little_endian_elements(datatype, data, expected):
    array = to_array(memoryview(data), datatype, [len(expected)], "x")
    assert array.dtype == datatype.dtype
    assert array.tolist() == expected
    assert bytes(from_array(array, datatype)) == data


@pytest.mark.parametrize(
    ("datatype", "data", "shape", "says"),
    [
        (Datatype.FP32, b"\0" * 7, [2], r"input 'x' has 7 bytes, shape \[2\] of FP32 has 8"),
        (Datatype.FP32, b"\0" * 12, [2], r"input 'x' has 12 bytes, shape \[2\] of FP32 has 8"),
        (Datatype.INT64, b"", [2**39, 2**39], "has 0 bytes, shape"),
        (Datatype.FP32, b"", [0, 2**39, 2**39], "which no array can have"),
        (Datatype.BYTES, b"", [0, 2**39, 2**39], "which no array can have"),
        (Datatype.BOOL, b"\x01\x02", [2], "input 'x' is BOOL but has a byte of 2; true is 1 and false is 0"),
        (Datatype.BYTES, b"\x02\0\0\0ab", [2], "has 2 BYTES elements by its shape, which its 6 bytes cannot hold"),
        (Datatype.BYTES, b"\x05\0\0\0ab", [1], "a BYTES element, number 0, that runs past the tensor's last byte"),
        (Datatype.BYTES, b"\x04\0\0\0abcd", [2], "a BYTES element, number 1, that runs past"),
        (Datatype.BYTES, b"\xff\xff\xff\xff", [1], "a BYTES element, number 0, that runs past"),
        (Datatype.BYTES, b"\x01\0\0\0abc", [1], "has 2 bytes behind its 1 BYTES elements"),
    ],
)
def test_what_does_not_fit_is_named(datatype, data, shape, says):
    with pytest.raises(InvalidInput, match=says):
        to_array(memoryview(data), datatype, shape, "input 'x'")


def test_the_number_of_bytes_elements_is_bounded():
    with pytest.raises(TooLarge, match="input 'x' has 1048577 BYTES elements, the limit is 1048576"):
        to_array(memoryview(b""), Datatype.BYTES, [MAX_BYTES_ELEMENTS + 1], "input 'x'")


def test_an_aligned_tensor_is_a_view_and_another_is_aligned():
    body = memoryview(np.arange(5, dtype=np.float32).tobytes())
    aligned = to_array(body, Datatype.FP32, [5], "x")
    assert np.shares_memory(aligned, np.frombuffer(body, np.uint8))
    shifted = to_array(memoryview(b"{" + body)[1:], Datatype.FP32, [5], "x")
    assert shifted.tolist() == [0, 1, 2, 3, 4]
    assert shifted.flags.aligned


def test_the_way_out_is_row_major_and_a_view_where_it_can_be():
    array = np.array([[1, 2], [3, 4]], np.int8)
    assert bytes(from_array(array.T, Datatype.INT8)) == b"\x01\x03\x02\x04"
    assert np.shares_memory(np.frombuffer(from_array(array, Datatype.INT8), np.int8), array)


@given(st.data(), st.sampled_from(Datatype), SHAPES)
def test_every_datatype_survives_both_ways_bit_by_bit(data, datatype, shape):
    if datatype is Datatype.BYTES:
        array = data.draw(arrays.arrays(object, shape, elements=st.binary(max_size=9)))
    elif datatype is Datatype.BOOL:
        array = data.draw(arrays.arrays(np.bool_, shape))
    else:  # any bits are an element
        size = math.prod(shape) * datatype.dtype.itemsize
        array = np.frombuffer(data.draw(st.binary(min_size=size, max_size=size)), datatype.dtype).reshape(shape)
    wire = bytes(from_array(array, datatype))
    back = to_array(memoryview(wire), datatype, shape, "x")
    assert (back.dtype, back.shape) == (datatype.dtype, shape)
    assert bytes(from_array(back, datatype)) == wire
    assert datatype is not Datatype.BYTES or back.tolist() == array.tolist()


@given(st.binary(max_size=64), st.sampled_from(Datatype), st.lists(st.integers(0, 2**40), min_size=1, max_size=4))
def test_arbitrary_bytes_are_a_tensor_or_an_error_of_ours(data, datatype, shape):
    with suppress(RequestError):
        assert to_array(memoryview(data), datatype, shape, "x").shape == tuple(shape)


def test_a_section_is_taken_in_order_and_wholly():
    section = BinarySection(memoryview(b"abcd"))
    assert bytes(section.take(3, "input 'a'")) == b"abc"
    assert bytes(section.take(0, "input 'b'")) == b""
    with pytest.raises(InvalidInput, match="input 'c' has binary_data_size 2, but only 1 bytes are left of the body"):
        section.take(2, "input 'c'")
    with pytest.raises(MalformedBody, match="the body has 1 bytes behind its last tensor"):
        section.finish()
    section.take(1, "input 'd'")
    section.finish()


@pytest.mark.parametrize("size", [3, COPIED_BY_NUMPY_BYTES])
def test_parts_are_joined_whatever_their_size(size):
    assert joined((b"ab", memoryview(bytes(size)), b"", b"c")) == b"ab" + bytes(size) + b"c"
