import numpy as np

from load_tests.arrivals import Phase, arrivals_s, ramp, seconds_of, trace


def test_the_same_seed_gives_the_same_arrivals_in_order():
    phases = [Phase(1000, 2)]
    first = arrivals_s(phases, seed=3)
    assert np.array_equal(first, arrivals_s(phases, seed=3))
    assert not np.array_equal(first[:10], arrivals_s(phases, seed=4)[:10])
    assert np.all(np.diff(first) >= 0)
    assert 0 <= first[0] < first[-1] < 2


def test_a_poisson_process_has_its_rate_and_exponential_gaps():
    due = arrivals_s([Phase(5000, 4)], seed=1)
    gaps = np.diff(due)
    assert abs(len(due) - 20_000) < 5 * 20_000**0.5  # five standard deviations
    assert abs(gaps.std() / gaps.mean() - 1) < 0.05  # of an exponential distribution they are equal


def test_a_burst_comes_when_the_trace_says():
    due = arrivals_s(trace([10, 1000, 10]), seed=1)
    counts = np.histogram(due, bins=[0, 1, 2, 3])[0]
    assert counts[1] > 800
    assert counts[0] + counts[2] < 100
    assert seconds_of(trace([10, 1000, 10])) == 3


def test_a_ramp_goes_up_to_the_peak_and_down_again():
    assert [phase.rate_per_s for phase in ramp(100, 4)] == [25, 75, 75, 25]
    assert seconds_of(ramp(100, 4)) == 4


def test_no_phases_have_no_arrivals():
    assert arrivals_s([], seed=1).tolist() == []
    assert arrivals_s([Phase(0, 5)], seed=1).tolist() == []
