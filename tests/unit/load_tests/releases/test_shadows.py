"""Figures about shadows, worked out by hand."""

from __future__ import annotations

from load_tests.releases import shadows
from load_tests.releases.outcomes import Outcome


def phase(p99_ms: float) -> list[Outcome]:
    return [Outcome(1.0, 0, p99_ms, 200, "v1", 1)]


def test_the_rise_is_that_of_the_medians():
    quiet = [phase(10.0), phase(20.0), phase(30.0)]
    held = shadows._rise(quiet, [phase(21.0), phase(1.0), phase(90.0)], 2.0)
    assert (held.is_true, "+5.0%" in held.figures, "adds 18 ms" in held.figures) == (True, True, True)
    assert not shadows._rise(quiet, [phase(23.0), phase(1.0), phase(90.0)], 2.0).is_true


def test_counters_that_are_missing_are_0():
    assert shadows._grown({}, {"compared": 5}, "compared") == 5
    assert shadows._grown({"compared": 2}, {"compared": 5}, "dropped") == 0
