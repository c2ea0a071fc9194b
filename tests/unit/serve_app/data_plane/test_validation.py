"""A request against a signature; most refusals stand in support.bad_requests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.arithmetic import INFO, rows

from serve_app.data_plane.validation import validate
from serve_app.datatypes import Datatype
from serve_app.errors import InvalidInput, TooLarge
from serve_app.types import InferenceRequest, TensorSpec

TEXT = replace(
    INFO,
    inputs=(
        TensorSpec("text", Datatype.BYTES, (-1,)),
        TensorSpec("weights", Datatype.FP32, (-1, -1), allow_nan=True),
    ),
)


def ask(info=INFO, max_rows=100, outputs=(), **inputs):
    validate(InferenceRequest("arithmetic", inputs, outputs=outputs), info, max_rows)


def test_what_fits_passes():
    ask(x=rows(1, 2), outputs=("total",))
    ask(TEXT, text=np.array([b"a", b"b"], object), weights=np.full((2, 7), np.nan, np.float32))


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, "input 'text' is missing"),
        ({"text": np.array([b"a"], object)}, "input 'weights' is missing"),
        (
            {"text": np.array([b"a"], object), "weights": np.zeros((2, 1), np.float32)},
            "input 'weights' has 2 rows, the first input has 1",
        ),
        (
            {"text": np.array(["a"], object), "weights": np.zeros((1, 1), np.float32)},
            "input 'text' must hold bytes",
        ),
        (
            {"text": np.array([b"a"], object), "weights": np.zeros((1, 1))},
            "input 'weights' has datatype FP64, FP32 is expected",
        ),
        (
            {"text": np.array(7), "weights": np.zeros((1, 1), np.float32)},
            "input 'text' has",
        ),
    ],
)
def test_what_does_not_fit_is_named(inputs, says):
    with pytest.raises(InvalidInput) as caught:
        ask(TEXT, **inputs)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_named_with_its_place(value):
    x = rows(1, 2)
    x[1, 2] = value
    with pytest.raises(InvalidInput, match=rf"input 'x' has {value} at \[1, 2\]; this model takes finite numbers only"):
        ask(x=x)


def test_what_is_no_array_is_named():
    for value in ([1.0], np.ma.masked_array(rows(1))):
        with pytest.raises(InvalidInput, match="a NumPy array is expected"):
            ask(x=value)


def test_a_request_that_no_queue_could_hold_is_not_told_to_come_again():
    with pytest.raises(TooLarge, match="the request has 3 rows, the limit is 2"):
        ask(replace(INFO, max_queue_rows=2), x=rows(1, 2, 3))


def test_rows_are_bounded():
    ask(x=rows(*range(100)))
    with pytest.raises(TooLarge, match="the request has 101 rows, the limit is 100"):
        ask(x=rows(*range(101)))
