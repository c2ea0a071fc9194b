"""Feedback: counted once for the answer it is about, passed on where nobody knows the request, bounded."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from serve_app.data_plane import feedback
from serve_app.data_plane.feedback import FeedbackLedger, texts_of
from serve_app.datatypes import datatype_of
from serve_app.errors import InvalidInput
from serve_app.release.counts import ArmCounts
from serve_app.release.messages import Feedback
from serve_app.types import InferenceResponse, TensorSpec


def texts(array: np.ndarray, *labels: str) -> tuple[str, ...]:
    spec = TensorSpec("y", datatype_of(array), (-1, *array.shape[1:]), labels)
    return texts_of(InferenceResponse("cats", "v1", {"other": array, "y": array}, "y"), (spec,))


@pytest.mark.parametrize(
    ("array", "labels", "accepted"),
    [
        (np.array([1, 0]), (), ("1",)),
        (np.array([[1], [0]], np.uint8), ("cat", "dog"), ("1", "dog")),
        (np.array([7]), ("cat", "dog"), ("7",)),
        (np.array([-1]), ("cat", "dog"), ("-1",)),
        (np.array([[0.1, 0.9], [1, 0]], np.float32), ("cat", "dog"), ("1", "dog")),
        (np.array([[0.9, 0.1]], ml_dtypes.bfloat16), ("cat", "dog"), ("0", "cat")),
        (np.array([b"caf\xc3\xa9"], object), (), ("café",)),
        (np.array([True]), (), ("1", "true")),
        (np.array([False]), ("no", "yes"), ("0", "no", "false")),
        (np.array([0.5], np.float32), (), ()),
        (np.array([[0.1, 0.9]], np.float32), (), ()),
        (np.array([[1, 2, 3]]), (), ()),
        (np.array([b"x" * 129], object), (), ()),
    ],
)
def test_the_first_rows_class_is_known_by_its_number_and_its_name(array, labels, accepted):
    assert texts(array, *labels) == accepted


def test_a_client_that_did_not_ask_for_the_prediction_cannot_judge_it():
    assert texts_of(InferenceResponse("cats", "v1", {"other": np.array([1])}, "y"), ()) == ()


def test_labels_and_values_are_counted_once_for_each_request():
    ledger, arm = FeedbackLedger(), ArmCounts()
    ledger.remember("r1", arm, ("1", "dog"))
    ledger.remember("r2", arm, ("0", "cat"))
    ledger.take([Feedback("r1", "dog"), Feedback("r2", "dog"), Feedback("r1", "cat", 3.0), Feedback("r1", value=9.0)])
    ledger.take_from_others([Feedback("r2", "cat", -2.0)])
    assert arm == ArmCounts(judged=2, correct=1, rewarded=2, reward_sum=1.0, reward_squares=13.0)
    assert ledger.unknown() == {}


def test_a_label_for_what_is_no_class_is_not_counted():
    ledger, arm = FeedbackLedger(), ArmCounts()
    ledger.remember("r1", arm, ())
    ledger.take([Feedback("r1", "dog", 1.0)])
    assert arm == ArmCounts(rewarded=1, reward_sum=1.0, reward_squares=1.0)


def test_what_is_not_known_here_is_passed_on_until_the_controller_has_it():
    ledger = FeedbackLedger()
    ledger.take([Feedback("a", "dog"), Feedback("b", "dog")])
    sent = ledger.unknown()
    ledger.take([Feedback("c", "dog")])
    ledger.passed_on(sent)
    assert list(ledger.unknown().values()) == [Feedback("c", "dog")]


def test_what_others_did_not_know_and_is_not_known_here_is_left():
    ledger = FeedbackLedger()
    ledger.take_from_others([Feedback("a", "dog")])
    assert ledger.unknown() == {}


def test_the_oldest_unknown_are_dropped_and_counted(monkeypatch):
    monkeypatch.setattr(feedback, "MOST_UNKNOWN", 2)
    monkeypatch.setattr(feedback, "MOST_SENT", 1)
    ledger = FeedbackLedger()
    ledger.take([Feedback(name, "dog") for name in "abc"])
    assert list(ledger.unknown().values()) == [Feedback("b", "dog")]
    assert ledger.dropped == 1


def test_the_oldest_answers_are_forgotten_by_number_and_by_bytes():
    arm = ArmCounts()
    ledger = FeedbackLedger(most_answers=2)
    for name in "abc":
        ledger.remember(name, arm, ("1",))
    ledger.take([Feedback(name, "1") for name in "abc"])
    assert (arm.correct, [item.request_id for item in ledger.unknown().values()]) == (2, ["a"])
    small = FeedbackLedger(most_bytes=2 * 302)  # a record of 300, an id and a label of one character
    for name in "abc":
        small.remember(name, arm, ("1",))
    small.take([Feedback("a", "1")])
    assert len(small.unknown()) == 1


def test_of_two_answers_with_one_id_the_later_is_meant():
    ledger, first, second = FeedbackLedger(most_bytes=302), ArmCounts(), ArmCounts()
    ledger.remember("a", first, ("1",))
    ledger.remember("a", second, ("2",))
    ledger.take([Feedback("a", "2")])
    assert (first.judged, second.correct) == (0, 1)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (Feedback("", "dog"), "request_id has 0 characters, must have 1 to 128"),
        (Feedback("r" * 129, "dog"), "request_id has 129 characters"),
        (Feedback("r1"), "feedback for 'r1' needs a label or a value"),
        (Feedback("r1", "x" * 129), "label has 129 characters, the limit is 128"),
        (Feedback("r1", value=float("nan")), "value is nan, must be a finite number"),
        (Feedback("r1", value=1e300), r"value is 1e\+300, must be a finite number within"),
    ],
)
def test_feedback_out_of_bounds_is_refused_as_a_whole(item, message):
    ledger, arm = FeedbackLedger(), ArmCounts()
    ledger.remember("known", arm, ("1",))
    with pytest.raises(InvalidInput, match=message):
        ledger.take([Feedback("known", "1"), item])
    assert arm.judged == 0
    assert ledger.unknown() == {}
