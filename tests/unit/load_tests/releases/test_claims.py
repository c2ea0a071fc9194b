"""Claims about loads whose every request is known."""

from __future__ import annotations

import numpy as np
from rich.console import Console

from load_tests.releases import claims
from load_tests.releases.claims import Claim
from load_tests.releases.load import Load
from load_tests.releases.outcomes import Outcome

V1, V2 = Outcome(1.0, 0, 10.0, 200, "v1", 7), Outcome(2.0, 0, 21.0, 200, "v2", 7)
LOST = Outcome(3.0, 0, 5.0, fault="closed")


def test_a_failure_or_a_request_without_an_outcome_is_a_loss():
    assert claims.nothing_lost(Load(2, [V1, V2])) == Claim(
        "every request is answered", "2 due = 2 answered + 0 failed", True
    )
    lost = claims.nothing_lost(Load(2, [V1, LOST]))
    assert (lost.figures, lost.is_true) == ("2 due = 1 answered + 1 failed: 1 x closed", False)
    assert not claims.nothing_lost(Load(3, [V1, V2])).is_true


def test_failures_that_belong_to_the_scenario_are_allowed_and_shown():
    claim = claims.nothing_lost(Load(2, [V1, LOST]), "only these", allowed=1)
    assert (claim.is_true, "1 failed" in claim.figures) == (True, True)


def test_one_answer_of_another_version_refutes_only():
    assert claims.only([V2], "v2", "now").is_true
    assert not claims.only([V1, V2], "v2", "now").is_true
    assert not claims.only([], "v2", "now").is_true


def test_a_wrong_answer_is_shown_with_its_row():
    claim = claims.all_right([V1], {"v1": np.array([3])})
    assert (claim.is_true, claim.figures) == (False, "v1 1; 1 wrong, the first of 'v1' to row 0: 7")


def test_percentiles_are_compared_as_a_ratio():
    claim = claims.p99_within([V1], [V2], 2, "then")
    assert (claim.is_true, claim.figures) == (False, "21.0 ms of 1 to 10.0 ms of 1: 2.10 x")
    assert claims.p99_within([V1], [V2], 2.1, "then").is_true


def test_the_table_names_a_scenario_once():
    console = Console(record=True, width=120)
    console.print(claims.table([("kill", [Claim("a", "[####....] 1", True), Claim("b", "2", False)])]))
    text = console.export_text()
    assert "[####....] 1" in text
    assert (text.count("kill"), text.count("yes"), text.count("NO")) == (1, 1, 1)
