"""A switch and a rollback, held against loads whose outcomes are known."""

from __future__ import annotations

from types import SimpleNamespace

from load_tests.releases import switching
from load_tests.releases.load import Load
from load_tests.releases.outcomes import Outcome
from load_tests.releases.running import Command


def command(began: float, ended: float, *lines: tuple[float, str], code: int = 0) -> Command:
    return Command(SimpleNamespace(returncode=code), began, list(lines), ended)


APPLY = command(5.0, 8.0, (7.0, "digits: blue_green succeeded"))
ROLLBACK = command(10.0, 13.0, (12.0, "digits: v1:100% v2:0%, after 0.5 s"))


def load_of(*versions: tuple[float, str]) -> Load:
    outcomes = [Outcome(due, 0, 10.0, 200, version, 1) for due, version in versions]
    return Load(len(outcomes), outcomes)


def held(*versions: tuple[float, str]) -> list[bool]:
    return [claim.is_true for claim in switching._switch_claims("digits", load_of(*versions), APPLY, ROLLBACK)]


def test_a_clean_switch_holds():
    assert held((6.9, "v1"), (7.1, "v2"), (9.9, "v2"), (11.9, "v2"), (12.1, "v1")) == [True, True, True]


def test_an_old_answer_after_the_switch_or_the_rollback_is_found():
    assert held((7.1, "v1"), (9.9, "v2"), (12.1, "v1"))[0] is False
    assert held((7.1, "v2"), (12.1, "v2"), (12.2, "v1")) == [True, False, False]


def test_steps_are_the_lines_behind_the_tables():
    lines = ((1.0, "┏━━┓"), (1.1, "│ a │"), (1.2, ""), (1.3, "2 applications unchanged"))
    assert switching._steps(command(0, 2, *lines)) == ["2 applications unchanged"]


def test_a_command_that_failed_says_what_it_wrote():
    told = switching._codes(APPLY, command(0, 1, (0.5, "error: no"), code=1))
    assert told == "apply 3.0 s, exit 0; rollback 1.0 s, exit 1: error: no"
