"""Two answers compared: by row, by what the datatype calls equal, and never fooled by what is no number."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from serve_app.data_plane.comparing import FARTHEST, compare, nbytes_to_compare

NAN, INF = float("nan"), float("inf")


def compared(a, b, tolerance: float = 0.1):
    result = compare({"y": np.array(a)}, {"y": np.array(b), "more": np.zeros(1)}, tolerance)
    return result.disagrees.tolist(), result.distance


def texts(*values: bytes) -> np.ndarray:
    return np.array(values, object)


@pytest.mark.parametrize(
    ("a", "b", "disagrees"),
    [
        ([1, 2, 3], [1, 5, 3], [False, True, False]),
        ([[1, 2], [3, 4]], [[1, 2], [3, 5]], [False, True]),
        ([True, False], [True, True], [False, True]),
        (texts(b"cat", b"dog"), texts(b"cat", b"cow"), [False, True]),
        ([2**63 - 1], [2**63 - 2], [True]),
    ],
)
def test_classes_disagree_where_they_are_not_equal(a, b, disagrees):
    assert compared(a, b) == (disagrees, None)


def test_numbers_disagree_beyond_the_tolerance_relative_to_their_size():
    # within 0.1 * (1 + |a|): 0.1 of 0, 1.1 of 10
    assert compared([0.0, 0.0, 10.0, 10.0], [0.09, 0.2, 11.0, 11.2])[0] == [False, True, False, True]


def test_the_distance_is_the_mean_of_the_differences():
    assert compared([[1.0, 2.0], [3.0, 4.0]], [[1.0, 4.0], [3.0, 2.0]])[1] == 1.0
    assert compared([1, 2], [1.0, 2.5])[1] == 0.25


def test_small_floats_are_compared_as_large_ones():
    a, b = np.array([1.0], ml_dtypes.bfloat16), np.array([1.5], ml_dtypes.bfloat16)
    assert compared(a, b) == ([True], 0.5)


@pytest.mark.parametrize(
    ("a", "b", "disagrees", "distance"),
    [
        (NAN, NAN, False, 0.0),
        (INF, INF, False, 0.0),
        (1.0, NAN, True, FARTHEST),
        (NAN, 1.0, True, FARTHEST),
        (INF, 1.0, True, FARTHEST),
        (INF, -INF, True, FARTHEST),
        (1e308, -1e308, True, FARTHEST),
    ],
)
def test_what_is_no_number_is_near_to_its_like_only(a, b, disagrees, distance):
    assert compared([a], [b]) == ([disagrees], distance)


def test_answers_of_other_shapes_disagree_in_every_row():
    assert compared([[1, 2], [3, 4]], [[1], [3]]) == ([True, True], None)
    assert compared([[1.0, 2.0]], [[1.0]]) == ([True], FARTHEST)


def test_all_outputs_count_and_the_distance_is_that_of_the_floating_ones():
    a = {"label": np.array([1, 1]), "score": np.array([0.5, 0.5])}
    b = {"label": np.array([0, 1]), "score": np.array([0.5, 1.5])}
    result = compare(a, b, 0.1)
    assert (result.disagrees.tolist(), result.distance) == ([True, True], 0.5)


@pytest.mark.parametrize(
    "other", [{}, {"y": np.array([1, 2, 3])}, {"y": texts(b"1", b"2")}], ids=["missing", "rows", "texts"]
)
def test_what_is_not_the_same_kind_of_answer_is_not_compared(other):
    assert compare({"y": np.array([1, 2])}, other, 0.1) is None


def test_bytes_that_are_slow_to_compare_weigh_more():
    assert nbytes_to_compare((np.zeros((2, 4), np.float32), texts(b"cat", b"cattle"))) == 32 + 67 + 70
