"""The gap between arrivals, and how many rows one brings."""

from __future__ import annotations

import pytest

from serve_app.batching.arrivals import Arrivals


def test_before_the_second_arrival_no_gap_is_known():
    arrivals = Arrivals()
    arrivals.observe(1, 5.0)
    assert arrivals.gap_s(5.0) == float("inf")


def test_a_steady_stream_has_its_gap():
    arrivals = Arrivals()
    for number in range(100):
        arrivals.observe(4, 0.01 * number)
    assert arrivals.gap_s(0.99) == pytest.approx(0.01)
    assert arrivals.rows == pytest.approx(4, abs=0.01)


def test_silence_is_a_gap():
    arrivals = Arrivals()
    for number in range(10):
        arrivals.observe(1, 0.01 * number)
    assert arrivals.gap_s(3.09) == pytest.approx(3.0)
