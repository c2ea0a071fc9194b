"""Operations of transforms against plain NumPy, and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given as given_any
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import TypeAdapter

from serve_app.config.operations import Operation
from serve_app.datatypes import Datatype
from serve_app.graph.operations import planned
from serve_app.types import TensorSpec

X = np.array([[1.0, -2.0, 1000.0], [0.5, 0.25, 0.5]], np.float32)
MEAN = np.array([1, 2, 3], np.float32)
SPEC = TensorSpec("x", Datatype.FP32, (-1, 3))
LABEL = TensorSpec("label", Datatype.INT64, (-1,))
TEXT = TensorSpec("text", Datatype.BYTES, (-1, 1))
MAYBE = replace(SPEC, allow_nan=True)


def operation(**fields) -> Operation:
    return TypeAdapter(Operation).validate_python(fields)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"op": "cast", "datatype": "INT32"}, X.astype(np.int32)),
        ({"op": "scale", "factor": 0.5, "offset": 1}, X * np.float32(0.5) + np.float32(1)),
        (
            {"op": "standardise", "mean": [1, 2, 3], "std": [1, 2, 4]},
            (X - MEAN) / np.float32([1, 2, 4]),
        ),
        ({"op": "standardise", "mean": [1], "std": [2]}, (X - np.float32(1)) / np.float32(2)),
        ({"op": "clip", "min": -1, "max": 1}, np.array([[1, -1, 1], [0.5, 0.25, 0.5]], np.float32)),
        ({"op": "reshape", "shape": [3, 1]}, X.reshape(2, 3, 1)),
        ({"op": "argmax"}, np.array([2, 0])),
        ({"op": "transpose", "axes": [0]}, X),
    ],
)
def test_it_does_as_numpy_and_says_what_it_gives(fields, expected):
    before = X.copy()
    spec, apply = planned(operation(**fields), SPEC)
    given = apply(X)
    np.testing.assert_array_equal(given, expected)
    assert given.dtype == spec.datatype.dtype
    assert given.shape[1:] == spec.shape[1:]
    np.testing.assert_array_equal(X, before)


def test_softmax_does_not_overflow():
    given = planned(operation(op="softmax"), SPEC).apply(X)
    np.testing.assert_allclose(given.sum(axis=1), 1, rtol=1e-6)
    assert given.argmax(axis=1).tolist() == [2, 0]
    assert given.dtype == np.float32


def test_one_hot_leaves_out_what_is_no_class():
    spec, apply = planned(operation(op="one_hot", classes=3), LABEL)
    assert apply(np.array([2, 0, 7])).tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 0]]
    assert (spec.datatype, spec.shape) == (Datatype.FP32, (-1, 3))


@pytest.mark.parametrize(
    ("fields", "spec", "says"),
    [
        ({"op": "cast", "datatype": "FP32"}, TEXT, "cast takes numbers"),
        ({"op": "scale"}, LABEL, "scale takes floats, not INT64: cast before it"),
        ({"op": "standardise", "mean": [1, 2], "std": [1, 2]}, SPEC, "2 means for a last axis of 3"),
        ({"op": "clip", "min": 0, "max": 1}, TEXT, "clip takes floats"),
        ({"op": "reshape", "shape": [4]}, SPEC, r"reshape to \[4\] does not fit rows of shape \[3\]"),
        ({"op": "softmax"}, TensorSpec("x", Datatype.FP32, (-1,)), "goes along the last axis"),
        ({"op": "argmax"}, LABEL, "goes along the last axis"),
        ({"op": "argmax"}, TEXT, "argmax takes numbers"),
        ({"op": "one_hot", "classes": 2}, SPEC, "one_hot takes integers"),
        ({"op": "transpose", "axes": [1, 0]}, SPEC, r"transpose has 2 axes for rows of shape \[3\]"),
        ({"op": "argmax"}, MAYBE, "argmax takes no NaN, .*: impute before it"),
        ({"op": "cast", "datatype": "INT32"}, MAYBE, "cast to INT32 takes no NaN"),
        ({"op": "impute", "values": [0]}, SPEC, "impute has no effect: .* allow_nan: true"),
        ({"op": "impute", "values": [0]}, LABEL, "impute takes floats"),
        ({"op": "impute", "values": [0, 1]}, MAYBE, "impute has 2 values for a last axis of 3"),
        ({"op": "impute", "values": [1e5]}, replace(MAYBE, datatype=Datatype.FP16), "outside the range of FP16"),
        ({"op": "l2_normalise"}, LABEL, "l2_normalise takes floats"),
        ({"op": "l2_normalise"}, TensorSpec("x", Datatype.FP32, (-1,)), "goes along the last axis"),
    ],
)
def test_what_it_cannot_take_is_said(fields, spec, says):
    with pytest.raises(ValueError, match=says):
        planned(operation(**fields), spec)


def test_transpose_puts_channels_first():
    image = TensorSpec("image", Datatype.UINT8, (-1, 2, 4, 3), labels=("r", "g", "b"))
    spec, apply = planned(operation(op="transpose", axes=[2, 0, 1]), image)
    x = np.arange(24, dtype=np.uint8).reshape(1, 2, 4, 3)
    assert (spec.shape, spec.labels) == ((-1, 3, 2, 4), ())
    assert apply(x)[0, 1].tolist() == [[1, 4, 7, 10], [13, 16, 19, 22]]


def test_impute_puts_each_features_value_where_there_is_no_number():
    spec, apply = planned(operation(op="impute", values=[10, 20, 30]), MAYBE)
    x = np.array([[np.nan, 2, 3], [1, np.inf, -np.inf]], np.float32)
    assert apply(x).tolist() == [[10, 2, 3], [1, 20, 30]]
    assert (spec.allow_nan, apply(x).dtype) == (False, np.float32)
    ages = TensorSpec("age", Datatype.FP32, (-1,), allow_nan=True)
    assert planned(operation(op="impute", values=[4]), ages).apply(x[:, 0]).tolist() == [4, 1]


def test_what_may_be_nan_stays_so_until_it_is_imputed():
    for fields in ({"op": "scale"}, {"op": "reshape", "shape": [3, 1]}, {"op": "cast", "datatype": "FP64"}):
        assert planned(operation(**fields), MAYBE).spec.allow_nan


def test_l2_normalise_gives_directions_and_leaves_zeros():
    apply = planned(operation(op="l2_normalise"), TensorSpec("x", Datatype.FP32, (-1, 2))).apply
    x = np.array([[3, 4], [0, 0], [3e38, 0], [-1e-30, 0]], np.float32)
    np.testing.assert_allclose(apply(x), [[0.6, 0.8], [0, 0], [1, 0], [-1, 0]], rtol=1e-6)
    half = TensorSpec("x", Datatype.FP16, (-1, 2))
    given = planned(operation(op="l2_normalise"), half).apply(np.array([[30000, 40000]], np.float16))
    assert given.dtype == np.float16
    np.testing.assert_allclose(given, [[0.6, 0.8]], rtol=1e-3)


@settings(deadline=None)  # the machine may be busy
@given_any(arrays(np.float32, (3, 4), elements=st.floats(-(2.0**120), 2.0**120, width=32)))
def test_every_direction_is_of_length_one(x):
    spec = TensorSpec("x", Datatype.FP32, (-1, 4))
    lengths = np.linalg.norm(planned(operation(op="l2_normalise"), spec).apply(x).astype(np.float64), axis=1)
    np.testing.assert_allclose(lengths, np.where(np.any(x != 0, axis=1), 1, 0), atol=1e-5)


def test_labels_are_of_the_last_axis_only():
    named = replace(SPEC, labels=("a", "b", "c"))
    assert planned(operation(op="reshape", shape=[1, 3]), named).spec.labels == ("a", "b", "c")
    assert planned(operation(op="reshape", shape=[3, 1]), named).spec.labels == ()
