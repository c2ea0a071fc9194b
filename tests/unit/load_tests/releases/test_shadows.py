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


def test_what_was_copied_is_compared_with_what_was_sent():
    def part(cpu_s: float, **counted: float) -> shadows.Phase:
        return shadows.Phase(0.0, 2.0, cpu_s, {name: counted.get(name, 0.0) for name in shadows.COUNTED})

    sent = [phase(1.0), phase(1.0)]
    assert shadows._copied([part(0.1)], [part(0.2, compared=1), part(0.4, compared=1)], sent).is_true
    missed = shadows._copied([part(0.1)], [part(0.2, compared=1), part(0.2, dropped=1)], sent)
    assert not missed.is_true
    assert missed.figures == (
        "compared 1, dropped 1, shadow_errors 0, of 2 sent; "
        "the gateway and the shadow took 50 and 100 ms of CPU a second without and with them"
    )


def test_counters_that_are_missing_are_0():
    assert shadows._grown({}, {"compared": 5}, "compared") == 5
    assert shadows._grown({"compared": 2}, {"compared": 5}, "dropped") == 0
