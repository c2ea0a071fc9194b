"""Counters of an arm: they add up, subtract and survive JSON."""

import json
from itertools import pairwise

from serve_app.release.counts import LATENCY_EDGES_MS, ArmCounts


def test_buckets_are_nine_percent_apart_from_an_eighth_of_a_ms_to_131_s():
    assert LATENCY_EDGES_MS[0] == 0.125
    assert LATENCY_EDGES_MS[-1] == 131_072.0
    ratios = {round(high / low, 9) for low, high in pairwise(LATENCY_EDGES_MS)}
    assert ratios == {round(2 ** (1 / 8), 9)}


def test_an_answer_is_in_the_bucket_whose_upper_edge_it_does_not_exceed():
    counts = ArmCounts()
    for latency_ms in (0.125, 0.13, 1.0, 200_000.0):
        counts.answered(latency_ms)
    assert counts.requests == 4
    assert counts.latency == {0: 1, 1: 1, 24: 1, len(LATENCY_EDGES_MS): 1}
    assert counts.latency_ms_sum == 200_001.255
    assert counts.latency_ms_squares == 0.125**2 + 0.13**2 + 1.0 + 200_000.0**2


def test_counters_add_up_and_the_largest_distance_stays():
    one = ArmCounts(requests=3, errors=1, latency={4: 2}, distance_max=0.5, reward_sum=1.5)
    other = ArmCounts(requests=2, latency={4: 1, 5: 1}, distance_max=0.2, reward_sum=-0.5)
    assert one + other == ArmCounts(requests=5, errors=1, latency={4: 3, 5: 1}, distance_max=0.5, reward_sum=1.0)
    assert one.latency == {4: 2}


def test_what_was_counted_since_is_the_difference():
    before = ArmCounts(requests=3, latency={4: 2, 6: 1}, distance_max=0.5)
    now = before + ArmCounts(requests=2, errors=1, latency={4: 1}, distance_max=0.7)
    assert now - before == ArmCounts(requests=2, errors=1, latency={4: 1}, distance_max=0.7)
    assert now - now == ArmCounts(distance_max=0.7)


def test_json_has_what_is_not_zero_and_gives_it_back():
    counts = ArmCounts(requests=3, latency={4: 2, 160: 1}, distance_sum=0.25)
    document = json.loads(json.dumps(counts.to_json()))
    assert document == {"requests": 3, "latency": {"4": 2, "160": 1}, "distance_sum": 0.25}
    assert ArmCounts.from_json(document) == counts
    assert ArmCounts().to_json() == {}


def test_counters_of_another_version_of_the_code_are_left_out():
    assert ArmCounts.from_json({"requests": 3, "nonsense": 1}) == ArmCounts(requests=3)
