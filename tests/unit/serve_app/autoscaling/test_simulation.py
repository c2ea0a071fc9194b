"""Simulated releases: no steady load makes replicas come and go, and a load that needs another one soon has it."""

import numpy as np
import pytest
from support.replicas import Machine, Release

ONE_BY_ONE = Machine(row_s=0.1)
BATCHING = Machine(call_s=0.1, row_s=0.01, max_rows=16)
RATES = tuple(0.05 * 60 ** (step / 19) for step in range(20))  # of one replica's capacity, up to three times
SETTLED_S, SECONDS = 200.0, 600.0


def evenly(rate, begin, end):
    return [begin + number / rate for number in range(1, int((end - begin) * rate) + 1)]


def poisson(rate, begin, end, seed=0):
    generator = np.random.default_rng(seed)
    return sorted(generator.uniform(begin, end, generator.poisson(rate * (end - begin))).tolist())


@pytest.mark.parametrize("arrivals", [evenly, poisson])
@pytest.mark.parametrize("machine", [ONE_BY_ONE, BATCHING], ids=["one by one", "batching"])
def test_a_steady_load_at_any_rate_never_changes_replicas_once_settled(machine, arrivals):
    for rate in RATES:
        release = Release(machine)
        release.run(arrivals(rate * machine.capacity, 0.0, SECONDS))
        assert [change for change in release.changes if change[0] > SETTLED_S] == [], rate
        assert release.target >= min(4, rate), rate
        assert release.waiting < 5 * machine.capacity, rate


@pytest.mark.parametrize(
    "machine",
    [
        Machine(promised=2.0),  # its latencies promise twice of what it can do
        Machine(deadline_s=0.25),  # misses deadlines long before it is full
    ],
    ids=["promises too much", "tight deadline"],
)
def test_what_replicas_cannot_bear_makes_none_come_and_go_either(machine):
    for rate in RATES:
        release = Release(machine)
        release.run(poisson(rate * machine.capacity, 0.0, SECONDS))
        late = [replicas for at, replicas in release.changes if at > SETTLED_S]
        assert len(late) <= 1, (rate, release.changes)  # a rare burst may call for one more, and it stays


@pytest.mark.parametrize("rate", [1.1, 1.4])
@pytest.mark.parametrize("machine", [ONE_BY_ONE, BATCHING, Machine(promised=1.1)])
def test_a_step_gets_a_second_replica_that_leaves_when_it_is_over(machine, rate):
    release = Release(machine)
    quiet, busy = 0.1 * machine.capacity, rate * machine.capacity
    release.run([*evenly(quiet, 0, 100), *evenly(busy, 100, 300)])
    (decided, replicas), (served, running) = release.changes[0], release.served[0]
    assert (replicas, running) == (2, 2)
    assert decided - 100 <= 14
    assert served - 100 <= 20
    assert release.waiting < machine.capacity  # the queue of the first seconds is gone
    release.run(evenly(quiet, 300, 420))
    assert [replicas for _, replicas in release.changes] == [2, 1]
    assert 45 <= release.changes[1][0] - 300 <= 75


def test_three_times_the_load_has_its_replicas_after_few_decisions():
    release = Release(ONE_BY_ONE)
    release.run([*evenly(1.0, 0, 100), *evenly(28.0, 100, 300)])
    assert release.changes == [(104.0, 4)]
    assert release.waiting < 5


def test_load_that_comes_and_goes_each_few_minutes_keeps_its_replica_in_the_end():
    release = Release(ONE_BY_ONE)
    arrivals = []
    for minute in range(0, 60, 4):
        arrivals += [*evenly(9.5, 60 * minute, 60 * minute + 90), *evenly(1.0, 60 * minute + 90, 60 * minute + 240)]
    release.run(arrivals)
    half = [at for at, _ in release.changes if at > 1800]
    assert len(half) <= 1
