"""JSON data to arrays: what NumPy would bend is refused, what fits is exact."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.datatypes import Datatype
from serve_app.errors import InvalidInput
from serve_app.protocol.json_tensor import from_array, to_array


@pytest.mark.parametrize(
    ("datatype", "data", "expected"),
    [
        (Datatype.BOOL, [True, False], [True, False]),
        (Datatype.UINT8, [0, 255], [0, 255]),
        (Datatype.INT64, [-(2**63), 2**63 - 1], [-(2**63), 2**63 - 1]),
        (Datatype.UINT64, [2**64 - 1], [2**64 - 1]),
        (Datatype.FP32, [1, 2.5], [1.0, 2.5]),
        (Datatype.FP64, [[0.1], [0.2]], [[0.1], [0.2]]),
        (Datatype.BYTES, ["é", ""], ["é".encode(), b""]),
    ],
)
def test_data_becomes_the_array_it_says(datatype, data, expected):
    array = to_array(data, datatype, None, "input 'x'")
    assert array.dtype == datatype.dtype
    assert array.tolist() == expected


@pytest.mark.parametrize(
    ("datatype", "data", "says"),
    [
        (Datatype.INT64, [1.5], "is INT64 but its data holds 1.5"),
        (Datatype.INT64, [True], "is INT64 but its data holds true"),
        (Datatype.FP32, ["7"], "is FP32 but its data holds the string '7'"),
        (Datatype.FP32, [None], "is FP32 but its data holds null"),
        (Datatype.FP32, [{}], "is FP32 but its data holds an object"),
        (Datatype.FP32, [True, 0.5], "is FP32 but its data holds true"),
        (Datatype.FP32, [1] * 5000 + ["a" * 100_000], "holds the string 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'"),
        (Datatype.FP32, [[[[1.0], 2.0]]], "nested unevenly"),
        (Datatype.BOOL, [0, 1], "is BOOL but its data holds 0"),
        (Datatype.BYTES, ["a", 7], "is BYTES but its data holds 7"),
        (Datatype.UINT8, [0, 256], "holds 256, UINT8 goes from 0 to 255"),
        (Datatype.INT8, [-129], "holds -129, INT8 goes from -128 to 127"),
        (Datatype.UINT64, [-1], "holds -1, UINT64 goes from 0"),
        (Datatype.INT64, [2**63], "INT64 goes from"),
        (Datatype.INT64, [2**70], "holds 1180591620717411303424, INT64 goes from"),
        (Datatype.UINT64, [-1, 2**64 - 1], "holds -1, UINT64 goes from 0 to 18446744073709551615"),
        (Datatype.FP32, [[1.0], [1.0, 2.0]], "nested unevenly"),
        (Datatype.BYTES, [["a"], ["b", "c"]], "nested unevenly, or more than 32 deep"),
        (Datatype.FP16, [1.0], "which JSON cannot carry; send FP32"),
        (Datatype.BF16, [1.0], "which JSON cannot carry; send FP32"),
        (Datatype.FP32, 7, "needs a list as data, not 7"),
    ],
)
def test_what_does_not_fit_is_named(datatype, data, says):
    with pytest.raises(InvalidInput) as caught:
        to_array(data, datatype, None, "input 'x'")
    assert says in str(caught.value)
    assert str(caught.value).startswith("input 'x' ")


def test_flat_data_takes_the_shape_and_nested_data_must_agree():
    assert to_array([1, 2, 3, 4], Datatype.INT32, [2, 2], "x").tolist() == [[1, 2], [3, 4]]
    assert to_array([[1, 2]], Datatype.INT32, [1, 2], "x").tolist() == [[1, 2]]
    with pytest.raises(InvalidInput, match=r"has shape \[2, 1\] but its data is nested as \[1, 2\]"):
        to_array([[1, 2]], Datatype.INT32, [2, 1], "x")
    with pytest.raises(InvalidInput, match=r"has shape \[3\], 3 elements, but its data has 2"):
        to_array([1, 2], Datatype.INT32, [3], "x")


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_fp32_survives_both_ways(values):
    array = to_array(values, Datatype.FP32, None, "x")
    assert from_array(array, Datatype.FP32, "x").tolist() == values


def test_the_way_out_is_flat_and_row_major():
    assert from_array(np.array([[1, 2], [3, 4]]).T, Datatype.INT64, "y").tolist() == [1, 3, 2, 4]
    assert from_array(np.array([[b"a"], [b"b"]], object), Datatype.BYTES, "y") == ["a", "b"]


def test_what_json_cannot_carry_is_said():
    with pytest.raises(InvalidInput, match="is BF16, which JSON cannot carry"):
        from_array(np.zeros(1, ml_dtypes.bfloat16), Datatype.BF16, "output 'y'")
    with pytest.raises(InvalidInput, match="not UTF-8"):
        from_array(np.array([b"\xff"], object), Datatype.BYTES, "output 'y'")


def test_lengths_that_no_array_can_have_are_refused_though_they_hold_nothing():
    for shape in ([0, 2**39, 2**39], [2**39, 2**39, 0]):
        with pytest.raises(InvalidInput, match="which no array can have"):
            to_array([], Datatype.FP32, shape, "x")


def test_data_is_bounded_in_depth():
    deep: list = [1.0]
    for _ in range(40):
        deep = [deep]
    with pytest.raises(InvalidInput, match="more than 32 deep"):
        to_array(deep, Datatype.FP32, None, "x")
