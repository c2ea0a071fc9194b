"""Single decisions, worked out by hand; whole days are in test_simulation."""

from dataclasses import replace

import pytest

from serve_app.autoscaling.history import Sample
from serve_app.autoscaling.memory import Memory, Situation
from serve_app.autoscaling.policy import FORGET_S, decide
from serve_app.autoscaling.stats import ReplicaStats
from serve_app.config.scaling import ScalingArgs

ARGS = ScalingArgs(target_utilisation=0.75, drain_s=10.0)


def reports(load, queued=(0.0,) * 20, misses=0.0, until=20):
    """Twenty reports, one a second, of a replica that can execute 100 rows a second."""
    return tuple(
        Sample(float(at), ReplicaStats(queued[at], 100 * load, max(load, 0.01), misses, 100.0)) for at in range(until)
    )


def situation(*replicas, target=None, now=20.0, most=8):
    named = {f"r{number}": history for number, history in enumerate(replicas)}
    return Situation(
        now=now,
        target=target or len(replicas),
        running=frozenset(named),
        latest=max((history[-1].at for history in replicas if history), default=float("-inf")),
        reports=lambda: named,
        look_back_s=20.0,
        hold_off_s=30.0,
        least=1,
        most=most,
    )


def started(given, at=-1.0):
    """The memory of a policy that has known these replicas since then."""
    return Memory(target=given.target, running=given.running, changed_at=at)


def desired(given, args=ARGS):
    return decide(args, given, started(given)).desired


@pytest.mark.parametrize(("load", "replicas"), [(0.01, 1), (0.74, 1), (0.76, 2), (0.85, 2)])
def test_the_mean_over_the_look_back_is_held_to_the_target(load, replicas):
    assert desired(situation(reports(load))) == replicas


def test_many_replicas_share_the_load():
    assert desired(situation(*[reports(0.9)] * 4)) == 5  # 3.6 / 0.75
    assert desired(situation(*[reports(0.9)] * 4, most=4)) == 4


def test_the_target_is_a_setting():
    assert desired(situation(reports(0.74)), ScalingArgs(target_utilisation=0.25)) == 3


@pytest.mark.parametrize(("load", "replicas"), [(0.31, 2), (0.29, 1)])
def test_one_goes_only_if_the_others_then_have_four_fifths_of_the_target(load, replicas):
    assert desired(situation(reports(load), reports(load))) == replicas  # 0.6 is 0.75 * 0.8


def test_a_step_shows_in_three_reports():
    quiet, busy = reports(0.05), reports(1.0)
    for new, replicas in ((2, 1), (3, 2)):
        assert desired(situation((*quiet[: 20 - new], *busy[20 - new :]))) == replicas


def test_a_queue_that_grows_is_load():
    queued = (0.0,) * 17 + (100.0, 250.0, 400.0)  # by 150 rows, 1.5 replicas, a second
    assert desired(situation(reports(1.0, queued))) == 4  # 2.5 / 0.75


def test_a_queue_that_would_wait_too_long_is_load():
    queued = (500.0,) * 20  # 5 s of work
    assert desired(situation(reports(1.0, queued))) == 2
    assert desired(situation(reports(1.0, queued)), ScalingArgs(drain_s=1.0)) == 6  # 1 + 5


def test_a_queue_that_soon_is_gone_asks_for_nothing():
    queued = tuple(1000.0 - 30 * at for at in range(20))  # 430 rows left, 30 fewer each second; too slow
    assert desired(situation(reports(0.7, queued))) == 2
    queued = tuple(1000.0 - 50 * at for at in range(20))  # 50 rows left
    assert desired(situation(reports(0.7, queued))) == 1


@pytest.mark.parametrize(("load", "replicas"), [(0.5, 2), (0.38, 2), (0.37, 1)])
def test_misses_call_for_another_replica_unless_there_is_little_to_do(load, replicas):
    assert desired(situation(reports(load, misses=1.0))) == replicas


def test_what_was_too_much_is_not_tried_again_until_it_is_forgotten():
    given = situation(reports(0.5, misses=1.0))
    memory = decide(ARGS, given, started(given))
    assert memory.limit == 0.5
    two = situation(reports(0.25), reports(0.25))  # together 0.5, under 0.6, but one could not bear it
    memory = replace(memory, target=2, running=two.running, desired=0, latest=0.0)
    assert decide(ARGS, two, memory).desired == 2
    calm = situation(reports(0.19), reports(0.19))  # 0.38 is under 0.8 * 0.5
    assert decide(ARGS, calm, memory).desired == 1
    later = replace(two, now=two.now + FORGET_S + 1)
    assert decide(ARGS, later, memory).desired == 1


def test_a_standing_queue_teaches_at_least_half_of_the_target():
    memory = decide(ARGS, *_with_memory(situation(reports(0.1, (60.0,) * 20))))
    assert (memory.desired, memory.limit) == (2, 0.375)


def _with_memory(given):
    return given, started(given)


def test_none_goes_while_rows_wait_for_some():
    crowded = reports(0.2, (0.0, 130.0) * 10)  # 65 rows in the mean, 0.65 s, though never for long
    assert desired(situation(crowded, reports(0.01))) == 2
    assert desired(situation(reports(0.2, (0.0, 90.0) * 10), reports(0.01))) == 1


def test_reports_from_before_a_change_say_nothing():
    given = situation(reports(1.0), reports(0.5), now=20.0)
    assert decide(ARGS, given, started(given, at=16.5)).desired == 2  # 17, 18, 19: the first of them is left out too
    assert decide(ARGS, given, started(given, at=15.5)).desired == 2  # three, but neither full nor half a look-back
    assert decide(ARGS, given, started(given, at=9.5)).desired == 2  # 1.5 / 0.75


def test_a_replica_that_reports_nothing_keeps_all_where_they_are():
    assert desired(situation(reports(0.01), reports(0.01), ())) == 3


def test_while_one_starts_none_is_sent_away_but_more_may_come():
    assert desired(situation(reports(0.01), target=2)) == 2
    assert desired(situation(reports(1.0), target=2)) == 2
    assert desired(situation(reports(1.0, (2000.0,) * 20), target=2)) == 3


def test_without_a_new_report_the_last_decision_stands():
    given = situation(reports(1.0))
    memory = decide(ARGS, given, started(given))
    assert memory.desired == 2
    assert decide(ARGS, replace(given, now=20.1, reports=lambda: {}), memory) is memory


def test_before_the_first_report_there_is_nothing_to_say():
    assert decide(ARGS, situation((), ()), Memory()).desired == 2


def test_the_log_is_told_why():
    queued = (500.0,) * 20
    given = situation(reports(1.0, queued, misses=2.0))
    assert decide(ARGS, given, started(given)).reason == (
        "each of 1 has 1.00 of what it could execute, a queue of 5.0 s, requests are missed or refused"
    )
    assert decide(ARGS, situation(reports(0.5)), started(situation(reports(0.5)))).reason == ""
