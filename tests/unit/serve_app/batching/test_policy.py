"""How large, whether in vain, and whether to wait; and that all this gains what it is there for."""

from __future__ import annotations

import random

import pytest
from support.simulation import Arrival, FixedPolicy, bursts, play, poisson, waiting

from serve_app.batching.latency import LatencyModel
from serve_app.batching.policy import AdaptivePolicy, take
from serve_app.config.release import BatchingConfig

SIZES = (1, 2, 4, 8, 16, 32, 64)


def seconds(rows: int) -> float:
    """10 ms and half a millisecond for each row."""
    return 0.010 + 0.0005 * rows


def policy(clock=None, **limits) -> AdaptivePolicy:
    config = BatchingConfig(**{"max_rows": 64, "max_queue_rows": 10**6} | limits)
    clock = clock or [0.0]
    return AdaptivePolicy(config, LatencyModel({rows: seconds(rows) for rows in SIZES}), lambda: clock[0])


def step(queue, now=0.0, subject=None, may_wait=False):
    return (subject or policy()).next_step(queue, now, may_wait=may_wait)


def submitted(pieces) -> list[float]:
    return [piece.job.submitted for piece in pieces]


def test_all_that_waits_goes_if_the_heads_deadline_allows():
    queue = waiting(*(Arrival(number, 1.0) for number in range(30)))
    assert len(step(queue).pieces) == 30
    assert not queue


def test_no_more_rows_than_the_limit():
    queue = waiting(*(Arrival(number, 1.0, rows=3) for number in range(30)))
    assert sum(piece.rows for piece in step(queue).pieces) == 63


def test_no_more_bytes_than_the_limit():
    queue = waiting(*(Arrival(number) for number in range(10)))
    for piece in queue.in_order(100):
        piece.nbytes = 40
    assert len(take(queue, BatchingConfig(max_batch_bytes=100), 64)) == 2


def test_the_batch_is_the_largest_that_still_meets_the_heads_deadline():
    # 40 rows take 30 ms, the head has 21 ms: 22 rows; the others have time enough
    queue = waiting(Arrival(0, 0.021), *(Arrival(number, 1.0) for number in range(1, 40)))
    assert len(step(queue).pieces) == 22


def test_what_cannot_be_met_any_more_is_not_executed():
    queue = waiting(Arrival(1, 0.009), Arrival(2, 1.0))
    done = step(queue)
    assert (submitted(done.hopeless), submitted(done.pieces)) == ([1], [2])


def test_after_a_second_without_an_execution_one_is_tried_whatever_the_forecast():
    clock = [0.0]
    subject = policy(clock)
    assert submitted(step(waiting(Arrival(1, 1.505)), 1.5, subject).pieces) == [1]
    assert submitted(step(waiting(Arrival(1, 1.4)), 1.5, subject).hopeless) == [1]  # but never what is over
    clock[0] = 1.5
    subject.observe(1, seconds(1))
    assert submitted(step(waiting(Arrival(1, 1.505)), 1.5, subject).hopeless) == [1]


def test_a_lone_row_of_an_idle_server_goes_at_once():
    subject = policy()
    subject.arrived(1, 0.0)
    subject.arrived(1, 0.5)
    assert step(waiting(Arrival(0.5, 1.0)), 0.5, subject, may_wait=True).wait_until_s is None


def busy_policy() -> AdaptivePolicy:
    subject = policy()
    for number in range(50):
        subject.arrived(1, 0.001 * (number - 49))  # the last one now, at 0
    return subject


def test_it_waits_for_rows_that_come_sooner_than_the_batch_would_end():
    # 1 row runs 10.5 ms; the next comes in 1 ms and would wait 9.5: together they start 1 ms later and end 0.5 later
    done = step(waiting(Arrival(0.0, 1.0)), 0.0, busy_policy(), may_wait=True)
    assert done.pieces == []
    assert done.wait_until_s == pytest.approx((1 * 0.0105 - 2 * 0.0005) / 2)


def test_it_does_not_wait_where_that_would_make_the_head_late():
    done = step(waiting(Arrival(0.0, 0.0112)), 0.0, busy_policy(), may_wait=True)
    assert submitted(done.pieces) == [0.0]


def test_it_does_not_wait_while_another_instance_is_free():
    assert submitted(step(waiting(Arrival(0.0, 1.0)), 0.0, busy_policy(), may_wait=False).pieces) == [0.0]


def test_with_many_rows_there_one_more_is_not_waited_for():
    queue = waiting(*(Arrival(0.0, 1.0) for _ in range(20)))
    assert len(step(queue, 0.0, busy_policy(), may_wait=True).pieces) == 20


def test_sizes_between_the_allowed_ones_are_padded_or_cut_whichever_serves_more():
    subject = policy(allowed_rows=(1, 16, 64))
    assert len(step(waiting(*(Arrival(n, 9.0) for n in range(18))), 0.0, subject).pieces) == 16
    assert len(step(waiting(*(Arrival(n, 9.0) for n in range(60))), 0.0, subject).pieces) == 60
    assert subject.usual_s(60) == pytest.approx(seconds(64))


def test_higher_levels_go_first_even_if_their_deadline_is_later():
    queue = waiting(*(Arrival(n, 0.5) for n in range(64)), Arrival(99, 5.0, priority=1))
    assert submitted(step(queue).pieces)[0] == 99


def service(seed: int = 3):
    draw = random.Random(seed)
    return lambda rows: seconds(rows) * draw.lognormvariate(0, 0.05)


CAPACITY = 64 / seconds(64)
TRACES = {
    "poisson": lambda share: poisson(share * CAPACITY, 10, slo_s=0.1),
    "bursts": lambda share: bursts(0.3 * share * CAPACITY, 1.7 * share * CAPACITY, 10, slo_s=0.1),
}


def in_time(subject, clock, arrivals) -> float:
    """Rows answered in time, in shares of what the largest batches could serve in the same time."""
    outcome = play(subject, arrivals, service(), clock)
    assert outcome.offered == sum(arrival.rows for arrival in arrivals)
    return outcome.in_time / (CAPACITY * 10)


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("share", [0.5, 1.0, 2.0])
def test_goodput_is_never_below_a_fixed_batchers_and_far_above_it_in_overload(trace, share):
    clock = [0.0]
    own = in_time(policy(clock), clock, TRACES[trace](share))
    fixed = max(
        in_time(FixedPolicy(rows, wait), [0.0], TRACES[trace](share))
        for rows, wait in ((32, 0.005), (64, 0.0), (64, 0.02))
    )
    assert own >= 0.99 * fixed
    if share >= 1.0:
        assert own >= 2 * fixed


@pytest.mark.parametrize(("trace", "least"), [("poisson", 0.9), ("bursts", 0.75)])
def test_overload_does_not_make_goodput_collapse(trace, least):
    clock = [0.0]
    assert in_time(policy(clock), clock, TRACES[trace](2.0)) >= least


def test_waiting_does_not_make_a_moderate_load_slower():
    clock, fixed_clock = [0.0], [0.0]
    own = play(policy(clock), poisson(0.3 * CAPACITY, 10, slo_s=0.1), service(), clock)
    eager = play(FixedPolicy(64), poisson(0.3 * CAPACITY, 10, slo_s=0.1), service(), fixed_clock)
    assert sum(own.waits_s) <= 1.02 * sum(eager.waits_s)


def test_a_policy_that_knows_nothing_yet_executes_and_learns():
    clock = [0.0]
    subject = AdaptivePolicy(BatchingConfig(max_rows=64, max_queue_rows=10**6), LatencyModel(), lambda: clock[0])
    outcome = play(subject, poisson(0.5 * CAPACITY, 2, slo_s=0.1), service(), clock)
    assert outcome.in_time == outcome.offered
    assert subject.usual_s(16) == pytest.approx(seconds(16), rel=0.2)
