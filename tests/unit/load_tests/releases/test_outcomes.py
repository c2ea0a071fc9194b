"""Figures of requests, worked out by hand."""

from __future__ import annotations

import math

import numpy as np

from load_tests.releases import outcomes
from load_tests.releases.outcomes import Outcome

RIGHT = Outcome(1.0, 0, 10.0, 200, "v1", 7, "g1", "ann")
OTHER = Outcome(2.0, 1, 20.0, 200, "v2", 3, "g2", "ann")
LOST = Outcome(3.0, 0, 5.0, fault="closed")
REFUSED = Outcome(4.0, 1, 2.0, 503, fault="503 not ready")
ALL = [RIGHT, OTHER, LOST, REFUSED]


def test_whatever_is_not_200_has_failed_and_says_why():
    assert outcomes.failures(ALL) == [LOST, REFUSED]
    assert outcomes.faults(ALL) == "1 x closed; 1 x 503 not ready"
    assert outcomes.faults([RIGHT]) == ""


def test_a_stretch_has_its_begin_and_not_its_end():
    assert outcomes.between(ALL, 2.0, 4.0) == [OTHER, LOST]
    assert outcomes.between(ALL, 4.0) == [REFUSED]


def test_answers_are_counted_by_version():
    assert outcomes.answers(ALL) == {"v1": 1, "v2": 1}
    assert (outcomes.share_of(ALL, "v2"), outcomes.share_of([LOST], "v2")) == (0.5, 0.0)
    assert (outcomes.last_due_s(ALL, "v2"), outcomes.last_due_s(ALL, "v3")) == (2.0, None)


def test_an_answer_is_wrong_if_its_version_says_another_one_or_is_unknown():
    truth = {"v1": np.array([7, 1]), "v2": np.array([0, 4])}
    assert outcomes.wrong(ALL, truth) == [OTHER]
    assert outcomes.wrong(ALL, {"v2": np.array([0, 3])}) == [RIGHT]


def test_only_answers_have_a_latency():
    assert (outcomes.p_ms(ALL, 0.5), outcomes.p_ms(ALL, 0.99)) == (10.0, 20.0)
    assert math.isnan(outcomes.p_ms([LOST], 0.5))


def test_the_versions_of_a_user_are_those_that_answered():
    assert outcomes.versions_of_users(ALL) == {"ann": {"v1", "v2"}}
