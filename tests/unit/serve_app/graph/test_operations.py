"""Operations of transforms against plain NumPy, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
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
    ],
)
def test_what_it_cannot_take_is_said(fields, spec, says):
    with pytest.raises(ValueError, match=says):
        planned(operation(**fields), spec)
