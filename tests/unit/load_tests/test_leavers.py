"""Callers that give up early: a short run of the command."""

from __future__ import annotations

from load_tests.leavers import STAYERS_AFTERWARDS, run


def test_every_caller_is_accounted_for_and_those_who_stay_are_answered():
    counts = run(0.5)
    assert counts.sent == counts.left + counts.answered + counts.refused > 100
    assert counts.left > 0
    assert counts.executed < counts.sent + STAYERS_AFTERWARDS
    assert counts.afterwards == STAYERS_AFTERWARDS
