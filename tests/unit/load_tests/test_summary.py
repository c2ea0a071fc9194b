import math

from support.bench_results import bench_results, target_round

from load_tests.summary import (
    Spread,
    connections_of,
    parts_of,
    ratio,
    requests_per_s_at,
    spread,
    targets_of,
    workloads_of,
)

ROUNDS = bench_results().rounds
OURS, OTHER = (parts_of(ROUNDS, "digits", name) for name in ("serve-app", "other"))


def test_a_spread_is_the_median_and_the_range_of_what_was_measured():
    assert spread([3.0, None, 1.0, math.nan, 8.0]) == Spread(3, 1, 8)
    assert spread([None]) is None


def test_ratios_are_formed_within_a_round():
    assert ratio(OURS, OTHER, requests_per_s_at(1)) == Spread(2.5, 2, 3)
    assert ratio(OURS, OTHER, requests_per_s_at(64)) == Spread(4.5, 4, 5)
    assert ratio(OURS, [target_round(3, "other", {1: 100})], requests_per_s_at(1)) is None
    assert ratio(OURS, OTHER, requests_per_s_at(256)) is None


def test_workloads_targets_and_connections_are_those_measured():
    assert (workloads_of(ROUNDS), targets_of(ROUNDS, "digits")) == (["digits"], ["serve-app", "other"])
    assert targets_of(ROUNDS, "cnn") == []
    assert connections_of(ROUNDS) == [1, 64]
