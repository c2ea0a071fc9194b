"""The load generator against a small real server."""

from __future__ import annotations

from collections import Counter

from support.http_servers import answer, answering

from load_tests.closed_loop import Result, run
from load_tests.target import Target


async def test_every_answer_is_counted_and_bodies_go_in_turn():
    async with answering(lambda _: answer(), (b"a", b"bb")) as (target, seen):
        result = await run(target, connections=2, seconds=0.2)
    assert result.statuses == Counter({200: len(seen.bodies)})
    assert len(result.latencies_ms) == len(seen.bodies) > 4
    assert (result.failed, result.broken) == (0, 0)
    assert abs(seen.bodies.count(b"a") - seen.bodies.count(b"bb")) <= 2
    assert seen.connections == 2


async def test_other_statuses_and_hang_ups_are_failures():
    async with answering(lambda number: answer(503) if number < 3 else None) as (target, _):
        result = await run(target, connections=1, seconds=30)
    assert result.statuses == Counter({503: 3})
    assert (result.broken, result.failed, result.point.requests_per_s) == (1, 4, 0)


async def test_a_server_that_is_not_there_breaks_every_connection():
    async with answering(lambda _: answer()) as (target, _):
        gone = target.url
    result = await run(Target("gone", "digits", gone, (b"a",)), connections=3, seconds=30)
    assert (result.broken, result.statuses.total()) == (3, 0)


def test_the_point_has_the_latencies_quantiles():
    result = Result(4, Counter({200: 90, 201: 5, 500: 5}), [float(i) for i in range(1, 101)], 2.0, broken=1)
    point = result.point
    assert (point.connections, point.answers, point.requests_per_s, point.failed) == (4, 100, 47.5, 6)
    assert (point.p50_ms, point.p90_ms, point.p99_ms, point.tool) == (50, 90, 99, "python")
