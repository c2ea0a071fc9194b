"""Members' answers as one, also where some are missing."""

from __future__ import annotations

import numpy as np
import pytest

from serve_app.config.graph import EnsembleNode
from serve_app.datatypes import Datatype
from serve_app.graph.combining import combining, uncombinable
from serve_app.types import TensorSpec


def node(method: str, weights=()) -> EnsembleNode:
    return EnsembleNode(kind="ensemble", name="e", method=method, members=("a.y", "b.y", "c.y"), weights=weights)


def test_the_weights_of_members_that_are_missing_do_not_count():
    members = [np.array([[1.0]], np.float32), np.array([[5.0]], np.float32)]
    assert combining(node("mean", (3, 100, 1)))(members, (0, 2)).tolist() == [[2.0]]
    labels = [np.array([7]), np.array([4])]
    assert combining(node("vote", (1, 100, 2)))(labels, (0, 2)).tolist() == [4]


def test_max_and_stack():
    members = [np.array([[1.0, 4.0]]), np.array([[2.0, 3.0]])]
    assert combining(node("max"))(members, (0, 1)).tolist() == [[2.0, 4.0]]
    assert combining(node("stack"))(members, (0, 1)).tolist() == [[1.0, 4.0, 2.0, 3.0]]


@pytest.mark.parametrize(
    ("method", "datatype", "shape", "says"),
    [
        ("vote", Datatype.INT64, (-1, 2), "vote takes a label a row"),
        ("mean", Datatype.INT64, (-1, 2), "mean takes floats"),
        ("stack", Datatype.FP32, (-1,), "rows of FP32 [-1] have none"),
        ("stack", Datatype.FP32, (-1, 3), ""),
        ("vote", Datatype.INT64, (-1,), ""),
    ],
)
def test_what_cannot_be_combined(method, datatype, shape, says):
    found = uncombinable(method, TensorSpec("x", datatype, shape))
    assert says in found
    assert bool(says) == bool(found)
