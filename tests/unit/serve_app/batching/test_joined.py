"""Rows of several requests as one block's, and the outputs that these want together."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from serve_app.batching.joined import Joined, joined, outputs_wanted, parts_of
from serve_app.types import InferenceRequest

LONG = [{"x": np.full((rows, 8192), rows, np.float32), "id": np.arange(rows)} for rows in (1, 2)]


def test_long_rows_are_joined_only_when_somebody_looks():
    tensors = joined(LONG)
    assert list(tensors) == ["x", "id"]
    assert len(tensors) == 2
    assert [part["x"] is long["x"] for part, long in zip(parts_of(tensors), LONG, strict=True)] == [True, True]
    assert tensors["x"][:, 0].tolist() == [1, 2, 2]
    assert tensors["id"].tolist() == [0, 0, 1]
    assert tensors["x"] is tensors["x"]
    assert len(parts_of(tensors)) == 1


def test_short_rows_are_joined_at_once_and_a_lone_part_is_not_copied():
    short = [{"x": np.ones((1, 3))}, {"x": np.zeros((1, 3))}]
    assert joined(short)["x"].tolist() == [[1, 1, 1], [0, 0, 0]]
    assert type(joined(short)) is dict
    assert joined(LONG[:1]) is LONG[0]
    assert parts_of(LONG[0]) == (LONG[0],)


def test_they_travel_as_plain_tensors():
    arrived = pickle.loads(pickle.dumps(Joined(LONG)))  # noqa: S301 - ours
    assert type(arrived) is dict
    assert arrived["x"].shape == (3, 8192)


@pytest.mark.parametrize(
    ("named", "wanted"),
    [([("a",), ("b", "a")], ("a", "b")), ([("a",), ()], ()), ([("b",), ("b",)], ("b",))],
)
def test_a_block_wants_what_any_of_its_requests_names_and_all_if_one_names_none(named, wanted):
    assert outputs_wanted([InferenceRequest("m", {}, outputs=outputs) for outputs in named]) == wanted
