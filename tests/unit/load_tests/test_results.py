import json
import math
from dataclasses import replace

from support.bench_results import bench_results, target_round

from load_tests.results import TargetRound, Unavailable


def test_the_best_point_and_each_point_are_found():
    part = target_round(1, "t", {1: 200, 64: 150})
    assert part.best_per_s == 200
    assert part.closed_at(64) is part.closed[1]
    assert part.closed_at(16) is None
    assert part.closed[0].cpu_s_per_1000 == 0.2
    assert TargetRound(1, "h", "t", "digits").best_per_s == 0


def test_everything_is_in_the_json_and_what_is_no_number_is_null():
    results = bench_results()
    run = results.rounds[0].closed[0]
    results.rounds[0].closed[0] = replace(run, point=replace(run.point, p50_ms=math.nan))
    results.unavailable.append(Unavailable("peer", "no Java"))
    document = json.loads(results.json)
    assert document["rounds"][0]["closed"][0]["point"]["p50_ms"] is None
    assert document["rounds"][0]["goodput"]["overload"]["goodput_per_s"] == 2700
    assert document["unavailable"] == [{"host": "peer", "reason": "no Java"}]
    assert document["machine"]["cores"] == 2
