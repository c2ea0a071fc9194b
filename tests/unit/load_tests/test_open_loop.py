from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import pytest
from support.http_servers import answer, answering

from load_tests.arrivals import Phase
from load_tests.open_loop import OpenLoad, OpenResult, generate, merged
from load_tests.target import Target

PHASES = (Phase(100, 0.1),)


async def offer(target: Target, requests: int, **changes: object) -> OpenResult:
    """All requests are due at once, so each needs a connection of its own or has to wait for one."""
    load = replace(OpenLoad(target, PHASES, grace_s=30), **changes)
    return await generate(load, [0.0] * requests, time.perf_counter())


async def test_every_request_is_sent_and_answered():
    async with answering(lambda _: answer(), (b"a", b"bb", b"ccc")) as (target, seen):
        result = await offer(target, 7)
    assert sorted(seen.bodies) == [b"a", b"a", b"a", b"bb", b"bb", b"ccc", b"ccc"]
    assert (result.offered, result.statuses, result.broken, result.unanswered) == (7, Counter({200: 7}), 0, 0)
    assert len(result.success_ms) == len(result.late_ms) == 7


async def test_connections_are_opened_as_needed_up_to_the_limit_and_used_again():
    async with answering(lambda _: answer()) as (target, seen):
        result = await offer(target, 20, connections=3)
    assert (seen.connections, result.statuses[200]) == (3, 20)


async def test_latency_counts_from_the_scheduled_time():
    async with answering(lambda _: answer()) as (target, _):
        load = OpenLoad(target, PHASES, grace_s=30)
        result = await generate(load, [0.0], start=time.perf_counter() - 2)
    assert result.success_ms[0] >= 2000  # it was due two seconds ago: a generator that stalls hides nothing
    assert result.late_ms[0] >= 2000
    assert result.point(load).in_time_share == 0


async def test_refusals_and_other_errors_are_told_apart():
    statuses = [200, 429, 503, 504, 500]
    async with answering(lambda number: answer(statuses[number])) as (target, _):
        result = await offer(target, 5)
    assert result.statuses == Counter(statuses)
    assert (len(result.success_ms), len(result.refusal_ms)) == (1, 3)


async def test_a_hang_up_breaks_the_request_and_the_next_ones_get_a_new_connection():
    async with answering(lambda number: answer() if number != 1 else None) as (target, seen):
        result = await offer(target, 5, connections=1)
    assert (result.statuses[200], result.broken, result.unanswered, seen.connections) == (4, 1, 0, 2)


async def test_a_connection_that_the_server_closes_politely_breaks_nothing():
    async with answering(lambda _: answer(200, b"{}", "Connection: close")) as (target, seen):
        result = await offer(target, 3, connections=1)
    assert (result.statuses[200], result.broken, seen.connections) == (3, 0, 3)


async def test_a_server_that_is_not_there_breaks_every_request():
    async with answering(lambda _: answer()) as (target, _):
        pass
    result = await offer(target, 4, connections=2)
    assert (result.broken, result.unanswered) == (4, 0)


async def test_what_is_not_answered_within_the_grace_is_counted():
    async with answering(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf") as (target, _):
        result = await offer(target, 3, grace_s=0.1)
    assert (result.unanswered, result.statuses.total()) == (3, 0)


async def test_an_empty_schedule_is_over_at_once():
    result = await offer(Target("none", "digits", "http://127.0.0.1:9/p", (b"a",)), 0)
    assert (result.offered, result.point(OpenLoad(Target("", "", "", ()), PHASES)).in_time_share) == (0, 1.0)


def test_goodput_is_what_was_in_time():
    target = Target("t", "digits", "http://h/p", (b"a",))
    result = OpenResult(
        offered=10,
        statuses=Counter({200: 5, 429: 2, 500: 1}),
        success_ms=[60.0, 10.0, 20.0, 30.0, 50.0],
        refusal_ms=[2.0, 1.0],
        broken=1,
        unanswered=1,
        late_ms=[0.5] * 9 + [3.0],
    )
    point = result.point(OpenLoad(target, (Phase(5, 1), Phase(5, 1)), slo_ms=50))
    assert (point.offered_per_s, point.goodput_per_s, point.in_time_share) == (5, 2, 0.4)
    assert (point.p50_ms, point.p99_ms) == (30, 60)
    assert (point.refused_per_s, point.refused_p50_ms, point.refused_p99_ms) == (1, 1, 2)
    assert (point.failed, point.late_p99_ms) == (3, 3)


def test_merging_adds_up():
    one = OpenResult(2, Counter({200: 2}), [1.0, 2.0], [], 0, 0, [0.1, 0.2])
    two = OpenResult(3, Counter({200: 1, 429: 1}), [3.0], [4.0], 1, 0, [0.3])
    assert merged([one, two]) == OpenResult(5, Counter({200: 3, 429: 1}), [1.0, 2.0, 3.0], [4.0], 1, 0, [0.1, 0.2, 0.3])
    with pytest.raises(AttributeError):
        one.unknown = 1
