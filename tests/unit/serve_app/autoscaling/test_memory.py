"""What is kept from one decision to the next."""

import math
from dataclasses import replace

import pytest

from serve_app.autoscaling.memory import MOST_REGRETS, Memory, Situation

SITUATION = Situation(
    now=1000.0,
    target=2,
    running=frozenset("ab"),
    latest=999.0,
    reports=dict,
    look_back_s=10.0,
    hold_off_s=30.0,
    least=1,
    most=4,
)
KNOWN = Memory(desired=2, target=2, running=frozenset("ab"), changed_at=500.0, low_since=900.0, low_need=1)


def test_it_survives_being_a_plain_mapping_beside_rays_own_keys():
    assert Memory.of({**KNOWN.as_state(), "__decision_counters": 3}) == KNOWN
    assert Memory.of({}) == Memory()


def test_nothing_new_changes_nothing():
    assert KNOWN.updated(SITUATION) is KNOWN


def test_another_replica_starts_a_new_time():
    updated = KNOWN.updated(replace(SITUATION, running=frozenset("ac")))
    assert (updated.changed_at, updated.desired, updated.low_since, updated.low_need) == (1000.0, 0, math.inf, 0)


def test_the_first_decision_regrets_nothing():
    assert Memory().updated(SITUATION).regrets == 0


def test_a_replica_called_back_soon_is_regretted_and_later_ones_are_not():
    left = KNOWN.updated(replace(SITUATION, target=1))
    assert (left.left_at, left.regrets) == (1000.0, 0)
    soon = left.updated(replace(SITUATION, now=1599.0))
    assert soon.regrets == 1
    again = replace(soon, left_at=1700.0).updated(replace(SITUATION, now=1800.0, target=3))
    assert again.regrets == 2
    assert left.updated(replace(SITUATION, now=1600.0)).regrets == 0
    assert replace(again, left_at=1700.0).updated(replace(SITUATION, now=9000.0, target=4)).regrets == 0


def test_regrets_have_an_end():
    memory = replace(KNOWN, target=1, left_at=999.0, regrets=MOST_REGRETS)
    assert memory.updated(SITUATION).regrets == MOST_REGRETS


def test_the_largest_need_of_the_whole_time_counts():
    first = Memory(target=4).lowered(SITUATION, 1, "low")
    assert (first.desired, first.low_since) == (1, 1000.0)
    second = first.lowered(replace(SITUATION, now=1005.0), 3, "low")
    third = second.lowered(replace(SITUATION, now=1010.0), 2, "low")
    assert (third.desired, third.low_since) == (3, 1000.0)
    assert third.kept(SITUATION).lowered(SITUATION, 1, "low").desired == 1


@pytest.mark.parametrize(("regrets", "extra_s"), [(0, 0), (1, 30), (3, 210)])
def test_each_regret_doubles_the_hold_off(regrets, extra_s):
    memory = replace(KNOWN, regrets=regrets, low_since=math.inf, low_need=0).lowered(SITUATION, 1, "low")
    assert memory.desired == (2 if extra_s else 1)
    assert memory.lowered(replace(SITUATION, now=1000.0 + extra_s), 1, "low").desired == 1
    if extra_s:
        assert memory.lowered(replace(SITUATION, now=999.0 + extra_s), 1, "low").desired == 2
