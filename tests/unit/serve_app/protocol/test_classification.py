"""Best classes as strings."""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from support.arithmetic import INFO

from serve_app.datatypes import Datatype
from serve_app.errors import InvalidInput, TooLarge
from serve_app.protocol.classification import classified, top_classes
from serve_app.types import InferenceResponse, TensorSpec

LABELS = ("cat", "dog", "emu")


def top(scores, count: int = 2, labels: tuple[str, ...] = ()) -> list[object]:
    return top_classes(scores, count, labels, "output 'y'").tolist()


def test_the_best_of_each_row_come_first_with_their_labels():
    scores = np.array([[0.1, 0.7, 0.2], [3, -1.5, 2]], np.float32)
    assert top(scores, labels=LABELS) == [
        [b"0.700000:1:dog", b"0.200000:2:emu"],
        [b"3.000000:0:cat", b"2.000000:2:emu"],
    ]


def test_a_row_gives_no_more_than_it_has():
    assert top(np.array([[1, 2]], np.int64), 9) == [[b"2:1", b"1:0"]]


def test_equal_scores_keep_their_order_and_nan_is_the_worst():
    assert top(np.array([[np.nan, 1, 1]]), 3) == [[b"1.000000:1", b"1.000000:2", b"nan:0"]]


@pytest.mark.parametrize(
    ("dtype", "text"),
    [
        (np.uint8, b"200:1"),
        (np.uint64, b"200:1"),
        (np.float16, b"200.000000:1"),
        (ml_dtypes.bfloat16, b"200.000000:1"),
    ],
)
def test_every_kind_of_number_is_a_score(dtype, text):
    assert top(np.array([[1, 200, 0]], dtype), 1) == [[text]]


def test_big_integers_are_exact():
    assert top(np.array([[2**63 - 2, 2**63 - 1]]), 1) == [[b"9223372036854775807:1"]]


def test_more_axes_are_one_without_labels():
    assert top(np.array([[[1, 2, 3], [4, 5, 6]]]), 1, LABELS) == [[b"6:5"]]


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        (np.array([[True]]), "output 'y' is BOOL: classification needs numbers"),
        (np.array([[b"a"]], object), "output 'y' is BYTES: classification needs numbers"),
        (np.array([7]), "output 'y' has one value a row: classification needs an axis of scores"),
    ],
)
def test_what_has_no_scores_is_refused(scores, says):
    with pytest.raises(InvalidInput, match=says):
        top(scores)


def test_too_many_classes_are_refused():
    with pytest.raises(TooLarge, match="output 'y' has 65537 classes, the limit is 65536"):
        top(np.zeros((1, 2**16 + 1), np.int8), 10**6)


def test_only_the_outputs_asked_for_are_changed():
    info = replace(INFO, outputs=(TensorSpec("y", Datatype.FP32, (-1, 3), LABELS), INFO.outputs[1]))
    outputs = {"y": np.array([[0.5, 0, 0]], np.float32), "total": np.array([7])}
    answer = classified(InferenceResponse("arithmetic", "v1", outputs, id="mine"), {"y": 1}, info)
    assert answer.outputs["y"].tolist() == [[b"0.500000:0:cat"]]
    assert answer.outputs["total"].tolist() == [7]
    assert answer.id == "mine"
