"""The coalescer: one call for many requests, no wait when idle, bounds and deadlines that hold."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from support.arithmetic import Executor, rows
from support.waiting import until

from serve_app.batching.coalescer import Bounds, Coalescer
from serve_app.batching.flights import Flights
from serve_app.batching.latency import LatencyModel
from serve_app.errors import DeadlineExceeded, DeadlineUnreachable, InvalidInput, Overloaded, ReplicaLost
from serve_app.types import BlockReply, EntryResult, InferenceRequest, Timings


def request(*values: float, **changes) -> InferenceRequest:
    return InferenceRequest("arithmetic", {"x": rows(*values)}, request_id="r", **changes)


class Link:
    """Carries blocks to an executor, remembering them; can be held, and can lose replicas."""

    def __init__(self, held: bool = False, losses: int = 0) -> None:
        self.executor = Executor()
        self.blocks: list[list[float]] = []
        self.timeouts: list[float | None] = []
        self.backlogs: list[tuple[str, int]] = []
        self.outputs: list[tuple[str, ...]] = []
        self.losses = losses
        self.gate = asyncio.Event()
        if not held:
            self.gate.set()

    async def __call__(self, blocks) -> tuple[BlockReply, ...]:
        for block in blocks:
            self.blocks.append(block.inputs["x"][:, 0].tolist())
            self.timeouts += [entry.timeout_s for entry in block.entries]
            self.backlogs.append((block.sender, block.backlog_rows))
            self.outputs.append(block.outputs)
        await self.gate.wait()
        if self.losses:
            self.losses -= 1
            raise ReplicaLost("arithmetic-v1")
        return await self.executor.infer(*blocks)


async def ask(subject: Coalescer, *values: float, timeout_s: float = 20) -> list[int]:
    return (await subject.submit(request(*values), timeout_s)).outputs["total"].tolist()


async def test_requests_of_one_turn_share_one_call():
    link = Link()
    subject = Coalescer(link)
    assert await asyncio.gather(*(ask(subject, i) for i in range(5))) == [[0], [3], [6], [9], [12]]
    assert link.blocks == [[0, 1, 2, 3, 4]]


async def test_a_block_says_which_outputs_its_requests_want():
    link = Link()
    subject = Coalescer(link)
    answers = await asyncio.gather(*(subject.submit(request(i, outputs=("total",)), 20) for i in range(2)))
    assert [answer.outputs["total"].tolist() for answer in answers] == [[0], [3]]
    await asyncio.gather(subject.submit(request(1, outputs=("total",)), 20), subject.submit(request(1), 20))
    assert link.outputs == [("total",), ()]


async def test_requests_collect_while_the_slot_is_taken():
    link = Link(held=True)
    subject = Coalescer(link)
    first = asyncio.create_task(ask(subject, 1))
    await until(lambda: link.blocks == [[1]])
    others = [asyncio.create_task(ask(subject, i, i)) for i in (2, 3)]
    await until(lambda: subject.queued_rows == 4)
    link.gate.set()
    assert await asyncio.gather(first, *others) == [[3], [6, 6], [9, 9]]
    assert link.blocks == [[1], [2, 2, 3, 3]]


async def test_requests_of_one_caller_share_a_call_and_each_has_an_answer_or_an_error():
    link = Link()
    subject = Coalescer(link, bounds=Bounds(queue_rows=3))
    answers = await subject.submit_all([request(1), request(2, 2, 2), request(3), request(-1)], 20)
    assert link.blocks == [[1, 3, -1]]
    assert [answer.outputs["total"].tolist() for answer in answers if not isinstance(answer, Exception)] == [
        [3],
        [9],
        [-3],
    ]
    assert [type(answer) for answer in answers].index(Overloaded) == 1
    assert await subject.submit_all([], 20) == []


async def test_requests_of_one_caller_that_leaves_are_not_sent():
    link = Link(held=True)
    subject = Coalescer(link)
    first = asyncio.create_task(ask(subject, 1))
    await until(lambda: link.blocks == [[1]])
    leaving = asyncio.create_task(subject.submit_all([request(2), request(3)], 20))
    await until(lambda: subject.queued_rows == 2)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert subject.queued_rows == 0
    link.gate.set()
    assert await first == [3]
    assert link.blocks == [[1]]


async def test_two_slots_carry_two_calls():
    link = Link(held=True)
    subject = Coalescer(link, flights=Flights(slots=2))
    tasks = [asyncio.create_task(ask(subject, 1))]
    await until(lambda: len(link.blocks) == 1)
    tasks.append(asyncio.create_task(ask(subject, 2)))
    await until(lambda: len(link.blocks) == 2)
    tasks.append(asyncio.create_task(ask(subject, 3)))
    await until(lambda: subject.queued_rows == 1)
    link.gate.set()
    assert await asyncio.gather(*tasks) == [[3], [6], [9]]


async def test_one_more_call_travels_ahead_once_it_carries_as_many_rows_as_are_in_flight():
    link = Link(held=True)
    subject = Coalescer(link, bounds=Bounds(calls_ahead=1))
    tasks = [asyncio.create_task(ask(subject, 1, 1, 1))]
    await until(lambda: len(link.blocks) == 1)
    tasks.append(asyncio.create_task(ask(subject, 2, 2)))
    await until(lambda: subject.queued_rows == 2)
    tasks.append(asyncio.create_task(ask(subject, 3)))
    await until(lambda: len(link.blocks) == 2)
    tasks.append(asyncio.create_task(ask(subject, *[4.0] * 9)))
    await until(lambda: subject.queued_rows == 9)
    assert link.blocks == [[1, 1, 1], [2, 2, 3]]
    link.gate.set()
    assert await asyncio.gather(*tasks) == [[3, 3, 3], [6, 6], [9], [12] * 9]


async def test_a_full_queue_refuses_and_takes_again_once_there_is_room():
    link = Link(held=True)
    subject = Coalescer(link, bounds=Bounds(queue_rows=2))
    flying = asyncio.create_task(ask(subject, 1))
    await until(lambda: link.blocks == [[1]])
    queued = asyncio.create_task(ask(subject, 2, 2))
    await until(lambda: subject.queued_rows == 2)
    with pytest.raises(Overloaded, match=r"model is full \(2 rows\)"):
        await Coalescer.submit(subject, request(3), 20)
    queued.cancel()
    await until(lambda: subject.queued_rows == 0)
    again = asyncio.create_task(ask(subject, 4))
    link.gate.set()
    assert await asyncio.gather(flying, again) == [[3], [12]]
    assert link.blocks == [[1], [4]]


async def test_a_request_that_waits_too_long_is_told_and_never_sent():
    link = Link(held=True)
    subject = Coalescer(link)
    flying = asyncio.create_task(ask(subject, 1))
    await until(lambda: link.blocks == [[1]])
    with pytest.raises(DeadlineExceeded, match=r"within 0\.01 s"):
        await subject.submit(request(2), 0.01)
    assert subject.queued_rows == 0
    link.gate.set()
    assert await flying == [3]
    assert link.blocks == [[1]]


async def test_a_release_that_hangs_does_not_hang_its_caller():
    with pytest.raises(DeadlineExceeded):
        await Coalescer(Link(held=True)).submit(request(1), 0.01)


async def test_the_remaining_time_crosses_not_the_clock():
    link = Link()
    await ask(Coalescer(link), 1, timeout_s=7)
    assert link.timeouts[0] is not None
    assert 6 < link.timeouts[0] <= 7


async def test_a_dead_replica_is_told_to_its_requests_and_to_the_owner_before_the_next_call():
    link = Link(held=True, losses=1)
    lost: list[str] = []

    def on_lost(release: str) -> None:
        lost.append(release)
        subject.refuse_waiting(ReplicaLost(release))

    subject = Coalescer(link, on_lost=on_lost)
    tasks = [asyncio.create_task(ask(subject, 5))]
    await until(lambda: link.blocks == [[5]])
    tasks.append(asyncio.create_task(ask(subject, 6)))
    await until(lambda: subject.queued_rows == 1)
    link.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ReplicaLost, ReplicaLost]
    assert (lost, link.blocks, subject.queued_rows) == (["model"], [[5]], 0)
    assert await ask(subject, 7) == [21]


async def test_a_request_may_have_a_call_of_its_own_that_waits_for_nobody():
    link = Link(held=True)
    subject = Coalescer(link, bounds=Bounds(queue_rows=1))
    tasks = [asyncio.create_task(ask(subject, 1))]
    await until(lambda: link.blocks == [[1]])
    tasks.append(asyncio.create_task(ask(subject, 2)))
    await until(lambda: subject.queued_rows == 1)
    alone = asyncio.create_task(subject.submit(request(3), 20, alone=True))
    await until(lambda: link.blocks == [[1], [3]])
    assert subject.queued_rows == 1
    link.gate.set()
    assert await asyncio.gather(*tasks) == [[3], [6]]
    assert (await alone).outputs["total"].tolist() == [9]
    assert link.blocks == [[1], [3], [2]]


async def test_a_call_of_its_own_has_a_deadline_too():
    subject = Coalescer(Link(held=True))
    with pytest.raises(DeadlineExceeded, match=r"within 0\.01 s"):
        await subject.submit(request(1), 0.01, alone=True)


async def test_one_bad_entry_fails_alone():
    async def send(blocks):
        results = [EntryResult(), EntryResult(InvalidInput("input 'x'", "is bad")), EntryResult()]
        return (BlockReply({"total": np.array([1, 3])}, tuple(results)),)

    subject = Coalescer(send)
    replies = await asyncio.gather(*(subject.submit(request(i), 20) for i in range(3)), return_exceptions=True)
    assert replies[0].outputs["total"].tolist() == [1]
    assert isinstance(replies[1], InvalidInput)
    assert replies[2].outputs["total"].tolist() == [3]


async def test_a_call_stops_growing_at_its_bytes():
    link = Link(held=True)
    subject = Coalescer(link, bounds=Bounds(call_bytes=3 * 12))  # three rows of three floats
    tasks = [asyncio.create_task(ask(subject, float(i))) for i in range(7)]
    link.gate.set()
    await asyncio.gather(*tasks)
    assert [len(block) for block in link.blocks] == [3, 3, 1]


async def test_a_call_stops_growing_at_its_rows_and_a_longer_request_travels_alone():
    link = Slow()
    subject = Coalescer(link, bounds=Bounds(call_rows=3), flights=still({1: 1.0}))
    tasks = [asyncio.create_task(ask(subject, *values)) for values in ([1], [2, 2], [3, 3], [4] * 5, [5])]
    await asyncio.gather(*tasks)
    assert link.blocks == [[1, 2, 2], [3, 3], [4] * 5, [5]]


async def test_a_quick_call_has_more_rows_than_a_replica_executes_at_once():
    link = Link(held=True)
    subject = Coalescer(link, bounds=Bounds(call_rows=1), flights=Flights(latency=LatencyModel({1: 0.001, 20: 0.02})))
    tasks = [asyncio.create_task(ask(subject, float(i))) for i in range(13)]
    await until(lambda: link.blocks == [[0, 1, 2, 3, 4]])
    link.gate.set()
    assert await asyncio.gather(*tasks) == [[3 * i] for i in range(13)]


def still(latency: dict[int, float]) -> Flights:
    """Calls that take as long, on a clock that stands still."""
    return Flights(latency=LatencyModel(latency), clock=lambda: 100.0)


async def test_what_fills_calls_ahead_is_waited_for_call_by_call():
    link = Link(held=True)
    subject = Coalescer(link, bounds=Bounds(call_rows=4), flights=still({1: 0.1, 4: 0.4}))
    tasks = [asyncio.create_task(ask(subject, *[float(i)] * 4)) for i in range(3)]
    await until(lambda: subject.queued_rows == 8)
    # The one that is executed, the two that wait, and its own, which others will have joined by then.
    assert subject.forecast_s(1, 5) == pytest.approx(0.4 + 2 * 0.4 + 0.4)
    link.gate.set()
    await asyncio.gather(*tasks)


async def test_a_large_request_takes_its_own_time_and_nobody_behind_it_is_taken_for_as_large():
    link = Link(held=True)
    subject = Coalescer(link, bounds=Bounds(call_rows=4), flights=still({1: 0.1, 4: 0.4, 8: 0.8}))
    large = asyncio.create_task(ask(subject, *[1.0] * 40))
    await until(lambda: len(link.blocks) == 1)
    assert subject.forecast_s(1, 5) == pytest.approx(4.0 + 0.4)
    assert subject.forecast_s(40, 5) == pytest.approx(4.0 + 4.0)
    link.gate.set()
    assert await large == [3] * 40


async def test_shadows_have_no_turn_while_clients_wait():
    link = Slow(held=True)
    subject = Coalescer(link, bounds=Bounds(call_rows=2), flights=still({1: 1.0}))
    flying = asyncio.create_task(ask(subject, 0))
    await until(lambda: link.blocks == [[0]])
    copies = [request(90.0 + i, tenant="(shadow)", priority=9) for i in range(3)]
    tasks = [asyncio.create_task(subject.submit(copy, 20)) for copy in copies]
    tasks += [asyncio.create_task(ask(subject, float(i))) for i in range(1, 4)]
    await until(lambda: subject.queued_rows == 6)
    link.gate.set()
    await asyncio.gather(flying, *tasks)
    assert link.blocks[1:] == [[1, 2], [3, 90], [91, 92]]


async def test_other_shapes_go_in_the_same_call_as_a_block_of_their_own():
    seen = []

    async def send(blocks):
        seen.append([block.inputs["x"].shape for block in blocks])
        return tuple(
            BlockReply({"total": block.inputs["x"].sum(axis=1)}, tuple(EntryResult() for _ in block.entries))
            for block in blocks
        )

    subject = Coalescer(send)
    requests = [InferenceRequest("m", {"x": np.ones((1, width))}) for width in (2, 4, 2)]
    replies = await asyncio.gather(*(subject.submit(one, 20) for one in requests))
    assert [reply.outputs["total"].tolist() for reply in replies] == [[2], [4], [2]]
    assert seen == [[(2, 2), (1, 4)]]


async def test_five_hundred_callers_get_exactly_their_own():
    subject = Coalescer(Link())
    answers = await asyncio.gather(*(ask(subject, *[float(i)] * (1 + i % 7)) for i in range(500)))
    assert answers == [[3 * i] * (1 + i % 7) for i in range(500)]


async def test_more_slots_send_what_waits():
    link = Link(held=True)
    subject = Coalescer(link)
    flying = asyncio.create_task(ask(subject, 1))
    await until(lambda: link.blocks == [[1]])
    waiting = asyncio.create_task(ask(subject, 2))
    await until(lambda: subject.queued_rows == 1)
    subject.slots = 2
    await until(lambda: link.blocks == [[1], [2]])
    link.gate.set()
    assert await asyncio.gather(flying, waiting) == [[3], [6]]
    await until(lambda: subject.is_idle)


async def test_the_most_urgent_of_what_waits_comes_first_in_the_block():
    link = Link(held=True)
    subject = Coalescer(link)
    flying = asyncio.create_task(ask(subject, 1))
    await until(lambda: link.blocks == [[1]])
    asked = [(request(2, priority=9), 20), (request(3), 20), (request(4), 10), (request(5, priority=1), 20)]
    tasks = [asyncio.create_task(subject.submit(one, timeout_s)) for one, timeout_s in asked]
    await until(lambda: subject.queued_rows == 4)
    link.gate.set()
    await asyncio.gather(flying, *tasks)
    assert link.blocks == [[1], [5, 4, 3, 2]]


async def test_a_request_that_what_is_ahead_makes_late_is_refused_at_once():
    link = Link(held=True)
    subject = Coalescer(link, flights=Flights(latency=LatencyModel({1: 0.5})))  # calls take half a second
    flying = asyncio.create_task(ask(subject, 1))
    await until(lambda: link.blocks == [[1]])
    with pytest.raises(DeadlineUnreachable, match=r"work ahead for about \d+ ms, the request allows 400 ms") as caught:
        await subject.submit(request(2), 0.4)
    assert 0.4 < caught.value.forecast_s <= 1.0
    assert subject.queued_rows == 0
    waiting = asyncio.create_task(ask(subject, 3, timeout_s=20))
    await until(lambda: subject.queued_rows == 1)
    link.gate.set()
    assert await asyncio.gather(flying, waiting) == [[3], [9]]


async def test_an_idle_release_is_asked_whatever_the_forecast_says():
    subject = Coalescer(Link(), flights=Flights(latency=LatencyModel({1: 5.0})))
    assert subject.forecast_s(1, 5) == 0.0
    assert (await subject.submit(request(2), 1.0)).outputs["total"].tolist() == [6]


async def test_what_is_less_urgent_does_not_count_as_ahead():
    link = Link(held=True)
    latency = LatencyModel({rows_: 0.1 * rows_ for rows_ in (1, 2, 4, 8)})
    subject = Coalescer(link, flights=Flights(latency=latency))
    tasks = [asyncio.create_task(ask(subject, 1))]
    await until(lambda: link.blocks == [[1]])
    tasks.append(asyncio.create_task(subject.submit(request(*range(7), priority=9), 20)))
    await until(lambda: subject.queued_rows == 7)
    assert subject.forecast_s(1, 9) - subject.forecast_s(1, 1) == pytest.approx(0.7, abs=0.05)
    link.gate.set()
    await asyncio.gather(*tasks)


async def test_a_full_queue_makes_the_greedy_tenant_give_way():
    link = Link(held=True)
    subject = Coalescer(link, bounds=Bounds(queue_rows=4))
    flying = asyncio.create_task(ask(subject, 1))
    await until(lambda: link.blocks == [[1]])
    greedy = [asyncio.create_task(subject.submit(request(float(i), tenant="a"), 20)) for i in range(4)]
    await until(lambda: subject.queued_rows == 4)
    modest = asyncio.create_task(subject.submit(request(9, tenant="b"), 20))
    with pytest.raises(Overloaded):
        await greedy[3]
    with pytest.raises(Overloaded):
        await subject.submit(request(9, tenant="a"), 20)
    link.gate.set()
    await asyncio.gather(flying, modest, *greedy[:3])
    assert sorted(link.blocks[1]) == [0, 1, 2, 9]


async def test_tenants_take_turns_when_not_all_fit_a_call():
    link = Link(held=True)
    subject = Coalescer(link, bounds=Bounds(call_bytes=4 * 12))
    flying = asyncio.create_task(ask(subject, 0))
    await until(lambda: link.blocks == [[0]])
    tasks = [asyncio.create_task(subject.submit(request(float(i), tenant="a"), 20)) for i in range(1, 7)]
    tasks += [asyncio.create_task(subject.submit(request(float(i), tenant="b"), 20)) for i in (8, 9)]
    await until(lambda: subject.queued_rows == 8)
    link.gate.set()
    await asyncio.gather(flying, *tasks)
    assert link.blocks[1:] == [[1, 8, 2, 9], [3, 4, 5, 6]]


class Slow(Link):
    """Says that each execution took a second."""

    async def __call__(self, blocks) -> tuple[BlockReply, ...]:
        replies = await super().__call__(blocks)
        slow = [
            [replace(one, timings=replace(one.timings, compute_s=1.0)) for one in reply.results] for reply in replies
        ]
        return tuple(replace(reply, results=tuple(results)) for reply, results in zip(replies, slow, strict=True))


class SlowWay(Link):
    """Takes as long as it is told to carry a block, and has the release refuse what comes with no time left."""

    def __init__(self) -> None:
        super().__init__()
        self.way_s = 0.0

    async def __call__(self, blocks) -> tuple[BlockReply, ...]:
        await asyncio.sleep(self.way_s)  # the way itself, not a wait for a state
        if any(entry.timeout_s == 0 for block in blocks for entry in block.entries):
            self.timeouts.append(0.0)
            late = EntryResult(DeadlineExceeded("arithmetic-v1", 0.0))
            return tuple(BlockReply({}, tuple(late for _ in block.entries)) for block in blocks)
        return await super().__call__(blocks)


async def test_the_time_the_way_takes_is_not_the_releases_to_use():
    link = SlowWay()
    link.way_s = 0.05
    subject = Coalescer(link)
    for _ in range(9):
        await ask(subject, 1)
    assert link.timeouts[0] == pytest.approx(20, abs=0.01)
    assert link.timeouts[-1] < 19.95


async def test_a_way_that_was_slow_for_a_while_does_not_leave_requests_without_time_for_ever():
    link = SlowWay()
    link.way_s = 0.05
    subject = Coalescer(link)
    for _ in range(9):
        await ask(subject, 1)
    link.way_s = 0.0
    await until(lambda: subject.is_idle)
    subject._flights._latency = LatencyModel()  # admission is another matter
    with pytest.raises(DeadlineExceeded):
        await ask(subject, 1, timeout_s=0.03)
    await until(lambda: subject.is_idle)
    assert await ask(subject, 1, timeout_s=0.03) == [3]


async def test_a_block_tells_what_still_waits():
    link = Link(held=True)
    subject = Coalescer(link, bounds=Bounds(call_bytes=12))
    tasks = [asyncio.create_task(ask(subject, float(i))) for i in range(3)]
    link.gate.set()
    await asyncio.gather(*tasks)
    assert [rows_ for _, rows_ in link.backlogs] == [2, 1, 0]
    assert len({sender for sender, _ in link.backlogs}) == 1


async def test_the_time_on_the_way_is_not_the_releases_to_use():
    timeouts = []

    async def send(blocks):
        timeouts.append(blocks[0].entries[0].timeout_s)
        await asyncio.sleep(0.02)
        timings = Timings(queue_s=0.005, batch_s=0.001, compute_s=0.004)
        return (BlockReply({"total": np.zeros(1)}, (EntryResult(timings=timings),)),)

    subject = Coalescer(send)
    for _ in range(40):
        await subject.submit(request(1), 10.0)
    assert timeouts[0] == pytest.approx(10.0, abs=0.005)
    assert 0.008 < 10.0 - timeouts[-1] < 0.05


@pytest.mark.parametrize("error", [InvalidInput, DeadlineExceeded])
async def test_nothing_keeps_the_tensors_of_a_request_that_ended_with_an_error(error):
    async def send(blocks):
        if error is DeadlineExceeded:
            await asyncio.Event().wait()
        return (BlockReply({}, (EntryResult(error=InvalidInput("input 'x'", "is not one of this model's")),)),)

    subject, sent = Coalescer(send), request(1)
    inputs, is_answered = weakref.ref(sent.inputs["x"]), False
    gc.disable()
    try:
        with contextlib.suppress(error):
            await subject.submit(sent, 0.01 if error is DeadlineExceeded else 20)
            is_answered = True
        del sent
        subject.abandon_flights(ReplicaLost("arithmetic-v1"))
        await until(lambda: subject.is_idle)
        assert not is_answered
        assert inputs() is None
    finally:
        gc.enable()
