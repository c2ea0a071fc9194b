"""Metrics of two arms: which counters they are made of."""

import pytest

from serve_app.release import metrics
from serve_app.release.counts import ArmCounts
from serve_app.release.metrics import Means, Quantiles, Rates, Sums
from serve_app.release.sequential import ANYTHING

NEW = ArmCounts(
    requests=100,
    errors=4,
    deadline_misses=5,
    latency={80: 60, 90: 30},
    latency_ms_sum=900.0,
    latency_ms_squares=9900.0,
    compared=50,
    disagreed=10,
    distance_sum=5.0,
    distance_squares=1.0,
    shadow_errors=2,
    judged=20,
    correct=18,
    rewarded=10,
    reward_sum=7.0,
    reward_squares=5.0,
)
STABLE = ArmCounts(requests=400, errors=2, deadline_misses=8, latency={80: 390}, judged=80, correct=60)


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        (metrics.error_rate(NEW, STABLE), Rates(4, 100, 2, 400)),
        (metrics.error_rate(NEW, STABLE, is_shadow=True), Rates(2, 52, 2, 400)),
        (metrics.deadline_miss_rate(NEW, STABLE), Rates(5, 100, 8, 400)),
        (metrics.disagreement(NEW), Rates(10, 50)),
        (metrics.distance(NEW), Means(Sums(50, 5.0, 1.0))),
        (metrics.accuracy(NEW, STABLE), Rates(18, 20, 60, 80)),
        (metrics.reward(NEW, STABLE), Means(Sums(10, 7.0, 5.0), Sums())),
        (metrics.mean_latency_ms(NEW, STABLE), Means(Sums(90, 900.0, 9900.0), Sums(390, 0.0, 0.0))),
    ],
)
def test_a_metric_is_made_of_its_own_counters(pair, expected):
    assert pair == expected


def test_values_are_shares_means_and_quantiles():
    rates = Rates(4, 100, 2, 400)
    assert (rates.new_value, rates.stable_value) == (0.04, 0.005)
    means = Means(Sums(10, 7.0, 5.0), Sums(2, 1.0, 1.0))
    assert (means.new_value, means.stable_value, means.new_n, means.stable_n) == (0.7, 0.5, 10, 2)
    quantiles = Quantiles(0.5, NEW.latency, STABLE.latency)
    assert (quantiles.new_n, quantiles.stable_n) == (90, 390)
    assert quantiles.new_value == quantiles.stable_value == pytest.approx(2 ** (56 / 8) * 2 ** (-1 / 16))


def test_without_requests_nothing_has_a_value():
    for pair in (Rates(0, 0), Means(Sums()), Quantiles(0.5, {})):
        assert (pair.new_value, pair.stable_value, pair.new_n, pair.stable_n) == (None, None, 0, 0)


def test_intervals_hold_the_values():
    for pair in (Rates(4, 100, 2, 400), Quantiles(0.5, NEW.latency, STABLE.latency)):
        low, high = pair.absolute(0.05)
        assert low < pair.new_value < high
    low, high = Rates(4, 100, 2, 400).relative(0.05)
    assert low < 0.035 < high
    low, high = Quantiles(0.5, NEW.latency, STABLE.latency).relative(0.05)
    assert low < 1 < high
    low, high = Means(Sums(100, 50.0, 60.0), Sums(100, 60.0, 70.0)).relative(0.05)
    assert low < -0.1 < high
    assert Means(Sums(10, 7.0, 5.0)).absolute(0.05) == ANYTHING


def test_sums_take_one_value_at_a_time():
    sums = Sums() + 2.0 + -3.0
    assert sums == Sums(2, -1.0, 13.0)
    assert sums.mean == -0.5
