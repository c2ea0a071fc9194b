"""Calls under way: what each adds to the wait of those behind it."""

from __future__ import annotations

import asyncio

import pytest

from serve_app.batching.flights import Flight, Flights, call_seconds
from serve_app.batching.latency import LatencyModel
from serve_app.errors import Overloaded
from serve_app.types import Block, BlockEntry, BlockReply, EntryResult, Timings

LATENCY = {1: 0.01, 32: 0.032}


@pytest.fixture
def clock() -> list[float]:
    return [100.0]


def flights_of(clock: list[float], slots: int = 1) -> Flights[str]:
    return Flights(slots, LatencyModel(LATENCY), lambda: clock[0])


def left(flights: Flights[str], rows: int = 32) -> tuple[asyncio.Task[None], Flight[str]]:
    async def nothing() -> None:
        pass

    task, flight = asyncio.get_running_loop().create_task(nothing()), Flight(["somebody"], rows)
    flights.start(task, flight)
    return task, flight


def replied(*rows: int, refused: int = 0, others: int = 0, queue_s: float = 0.0, compute_s: float = 0.0):
    """A block of entries with so many rows each, in a batch with others', and more that were refused; and its reply."""
    results = [EntryResult(timings=Timings(queue_s, 0.0, compute_s, sum(rows) + others)) for _ in rows]
    results += [EntryResult(Overloaded("m-v1", 8))] * refused
    entries = tuple(BlockEntry(count, "r", None) for count in (*rows, *[1] * refused))
    return (Block({}, entries),), (BlockReply({}, tuple(results)),)


async def test_where_a_slot_is_free_nothing_is_waited_for(clock):
    flights = flights_of(clock, slots=2)
    left(flights)
    assert flights.forecast_s(32) == pytest.approx(0.032)


async def test_those_behind_wait_for_what_is_left_of_the_one_ahead_and_for_those_between(clock):
    flights = flights_of(clock)
    left(flights)
    clock[0] += 0.012
    assert flights.forecast_s(1) == pytest.approx(0.020 + 0.010)
    left(flights)
    assert flights.forecast_s(1) == pytest.approx(0.020 + 0.032 + 0.010)
    assert flights.forecast_s(32, calls=1, call_rows=32) == pytest.approx(0.020 + 0.032 + 2 * 0.032)


async def test_the_slots_share_what_waits(clock):
    flights = flights_of(clock, slots=2)
    for _ in range(3):
        left(flights)
    assert flights.forecast_s(32, calls=1, call_rows=32) == pytest.approx(0.032 + 0.032)


async def test_a_call_is_counted_from_the_end_of_the_one_before_it(clock):
    flights = flights_of(clock)
    (first, one), (second, other) = left(flights), left(flights)
    assert (one.begun, other.begun) == (100.0, None)
    clock[0] += 0.03
    flights.answered(one, 0.03, *replied(32))
    flights.land(first)
    assert other.begun == clock[0]
    clock[0] += 0.064
    flights.answered(other, 0.094, *replied(32))
    flights.land(second)
    for _ in range(30):
        task, flight = left(flights)
        clock[0] += 0.064
        flights.answered(flight, 0.064, *replied(32))
        flights.land(task)
    assert flights.forecast_s(32) == pytest.approx(0.064)


async def test_rows_that_were_not_executed_teach_nothing_about_those_that_were(clock):
    flights = flights_of(clock)
    for _ in range(40):
        task, flight = left(flights)
        clock[0] += 0.010
        flights.answered(flight, 0.010, *replied(1, refused=31))
        flights.land(task)
    assert flight.executed == 1
    assert flights.forecast_s(32) == pytest.approx(0.032)


async def test_a_call_without_an_answer_teaches_nothing(clock):
    flights = flights_of(clock)
    task, _ = left(flights)
    clock[0] += 9.0
    flights.land(task)
    assert (len(flights), flights.rows) == (0, 0)
    assert flights.forecast_s(32) == pytest.approx(0.032)


async def test_more_slots_have_those_that_waited_executed(clock):
    flights = flights_of(clock)
    (_, one), (_, other) = left(flights), left(flights)
    clock[0] += 0.01
    flights.slots = 2
    assert (one.begun, other.begun) == (100.0, clock[0])


async def test_the_shortest_way_is_what_a_call_takes_outside_of_the_release(clock):
    flights = flights_of(clock)
    for took_s in (0.050, 0.013, 0.090, *[0.050] * 6):
        _, flight = left(flights)
        flights.answered(flight, took_s, *replied(4, queue_s=0.002, compute_s=0.008))
    assert flights.way_s == pytest.approx(0.003)


async def test_a_call_that_is_stuck_says_nothing_about_the_others(clock):
    flights = flights_of(clock, slots=2)
    left(flights)
    clock[0] += 3.0
    left(flights)
    assert flights.forecast_s(32) == pytest.approx(0.032 + 0.032)
    clock[0] += 0.02
    assert flights.forecast_s(32) == pytest.approx(0.012 + 0.032)


async def test_the_more_the_only_one_is_overdue_the_longer_is_waited_also_behind_another(clock):
    flights = flights_of(clock)
    left(flights), left(flights)
    waited = []
    for _ in range(5):
        clock[0] += 0.032
        waited.append(round(flights.forecast_s(32), 3))
    assert waited == [0.064, 0.096, 0.128, 0.160, 0.192]


async def test_a_lone_calls_way_is_no_part_of_what_it_adds_to_the_wait_of_others(clock):
    flights = flights_of(clock)
    for _ in range(40):
        task, flight = left(flights, 1)
        clock[0] += 0.010 + 0.005
        flights.answered(flight, 0.015, *replied(1, compute_s=0.010))
        flights.land(task)
    assert flights.usual_s(32) == pytest.approx(0.032, rel=0.1)


async def test_a_lone_calls_way_is_waited_for(clock):
    flights = flights_of(clock)
    for _ in range(48):
        task, flight = left(flights, 1)
        clock[0] += 0.015
        flights.answered(flight, 0.015, *replied(1, compute_s=0.010))
        flights.land(task)
    left(flights, 1)
    assert flights.forecast_s(1) == pytest.approx(0.005 + 0.010 + 0.010)


def test_a_call_of_several_batches_takes_several_times_as_long():
    latency = LatencyModel(call_seconds({1: 0.001, 16: 0.004}, 16, instances=2))
    assert [round(latency.usual_s(rows), 4) for rows in (1, 16, 32, 64, 128)] == [0.001, 0.004, 0.004, 0.008, 0.016]
    assert LatencyModel(call_seconds({1: 0.005}, 1)).usual_s(100) == pytest.approx(0.5)


async def test_calls_that_share_a_batch_and_land_together_are_one(clock):
    flights = flights_of(clock)
    for _ in range(40):
        (first, one), (second, other) = left(flights, 16), left(flights, 16)
        clock[0] += 0.032
        for task, flight in ((first, one), (second, other)):
            flights.answered(flight, 0.032, *replied(16, others=16, compute_s=0.032))
            flights.land(task)
    assert flights.usual_s(32) == pytest.approx(0.032)


@pytest.mark.parametrize(("batch_s", "rows"), [(0.032, 32), (0.0049, 32), (0.0024, 64), (0.0001, 1000)])
async def test_a_quick_call_is_several_batches(clock, batch_s, rows):
    flights = Flights[str](1, LatencyModel({32: batch_s, 64: 2 * batch_s}), lambda: clock[0])
    assert flights.rows_of_call(1000, at_once=32) == rows
    assert flights.rows_of_call(7, at_once=32) == 7


async def test_a_call_whose_way_is_long_is_quick_if_it_is_executed_soon(clock):
    flights = Flights[str](1, LatencyModel({32: 0.032}), lambda: clock[0])
    assert flights.rows_of_call(1000, at_once=32) == 32
    for _ in range(40):
        (first, one), (second, other) = left(flights), left(flights)
        for task, flight in ((first, one), (second, other)):
            clock[0] += 0.01
            flights.answered(flight, 0.01, *replied(32, compute_s=0.002))
            flights.land(task)
    assert flights.rows_of_call(1000, at_once=32) == 64
