"""The best of each row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from serve_app.config.operations import TopK
from serve_app.datatypes import Datatype
from serve_app.graph.ranking import top_k
from serve_app.types import TensorSpec

SCORES = TensorSpec("scores", Datatype.FP32, (-1, 4), labels=("cat", "dog", "löwe", "owl"))


def best(k, spec, x):
    link = top_k(TopK(op="top_k", k=k), spec)
    given_arrays = link.load("n")([x])
    for described, array in zip(link.outputs, given_arrays, strict=True):
        assert (array.dtype, array.shape[1:]) == (described.datatype.dtype, described.shape[1:])
    return {described.name: array.tolist() for described, array in zip(link.outputs, given_arrays, strict=True)}


def test_the_largest_come_first_with_their_labels():
    assert best(2, SCORES, np.float32([[0.125, 0.5, 0.25, 0.125], [0, 0, 1, 1]])) == {
        "indices": [[1, 2], [2, 3]],
        "scores": [[0.5, 0.25], [1, 1]],
        "labels": [[b"dog", "löwe".encode()], ["löwe".encode(), b"owl"]],
    }


def test_without_labels_there_are_none_and_integers_are_ranked_too():
    counts = TensorSpec("counts", Datatype.UINT8, (-1, 3))
    assert best(3, counts, np.uint8([[0, 255, 0]])) == {"indices": [[1, 0, 2]], "scores": [[255, 0, 0]]}


@settings(deadline=None)  # the machine may be busy
@given(arrays(np.float32, (5, 6), elements=st.sampled_from([-1.0, 0.0, 0.5, 2.0, float("inf")])), st.integers(1, 6))
def test_it_is_pythons_own_order(x, k):
    spec = TensorSpec("x", Datatype.FP32, (-1, 6))
    expected = [sorted(range(6), key=lambda at, row=row: (-row[at], at))[:k] for row in x]
    assert best(k, spec, x)["indices"] == expected


@pytest.mark.parametrize(
    ("k", "changes", "says"),
    [
        (5, {}, "k 5 is over the 4 classes"),
        (1, {"shape": (-1, -1)}, "k 1 is over the unknown number of classes"),
        (1, {"shape": (-1,)}, r"takes a score for each class, \[-1, C\], not FP32 \[-1\]"),
        (1, {"datatype": Datatype.BYTES}, "takes a score for each class"),
        (1, {"labels": ("a",)}, "there are 1 labels for 4 classes"),
        (1, {"allow_nan": True}, "top_k takes no NaN, .*: impute before it"),
    ],
)
def test_what_cannot_be_ranked_is_said(k, changes, says):
    fields = {"name": "s", "datatype": Datatype.FP32, "shape": (-1, 4), "labels": (), **changes}
    with pytest.raises(ValueError, match=says):
        top_k(TopK(op="top_k", k=k), TensorSpec(**fields))
