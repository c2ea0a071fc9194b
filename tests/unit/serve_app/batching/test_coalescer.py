"""The coalescer: one call for many requests, no wait when idle, bounds and deadlines that hold."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from support.arithmetic import Executor, rows
from support.waiting import until

from serve_app.batching.coalescer import Bounds, Coalescer
from serve_app.errors import DeadlineExceeded, InvalidInput, Overloaded, ReplicaLost
from serve_app.types import BlockReply, EntryResult, InferenceRequest


def request(*values: float, request_id: str = "r") -> InferenceRequest:
    return InferenceRequest("arithmetic", {"x": rows(*values)}, request_id=request_id)


class Link:
    """Carries blocks to an executor, remembering them; can be held, and can lose replicas."""

    def __init__(self, held: bool = False, losses: int = 0) -> None:
        self.executor = Executor()
        self.blocks: list[list[float]] = []
        self.timeouts: list[float | None] = []
        self.losses = losses
        self.gate = asyncio.Event()
        if not held:
            self.gate.set()

    async def __call__(self, block) -> BlockReply:
        self.blocks.append(block.inputs["x"][:, 0].tolist())
        self.timeouts += [entry.timeout_s for entry in block.entries]
        await self.gate.wait()
        if self.losses:
            self.losses -= 1
            raise ReplicaLost("arithmetic-v1")
        return await self.executor.infer(block)


async def ask(subject: Coalescer, *values: float, timeout_s: float = 20) -> list[int]:
    return (await subject.submit(request(*values), timeout_s)).outputs["total"].tolist()


async def test_requests_of_one_turn_share_one_call():
    link = Link()
    subject = Coalescer(link)
    assert await asyncio.gather(*(ask(subject, i) for i in range(5))) == [[0], [3], [6], [9], [12]]
    assert link.blocks == [[0, 1, 2, 3, 4]]


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


async def test_two_slots_carry_two_calls():
    link = Link(held=True)
    subject = Coalescer(link, slots=2)
    tasks = [asyncio.create_task(ask(subject, 1))]
    await until(lambda: len(link.blocks) == 1)
    tasks.append(asyncio.create_task(ask(subject, 2)))
    await until(lambda: len(link.blocks) == 2)
    tasks.append(asyncio.create_task(ask(subject, 3)))
    await until(lambda: subject.queued_rows == 1)
    link.gate.set()
    assert await asyncio.gather(*tasks) == [[3], [6], [9]]


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


async def test_one_bad_entry_fails_alone():
    async def send(block):
        results = [EntryResult(), EntryResult(InvalidInput("input 'x'", "is bad")), EntryResult()]
        return BlockReply({"total": np.array([1, 3])}, tuple(results))

    subject = Coalescer(send)
    replies = await asyncio.gather(*(subject.submit(request(i), 20) for i in range(3)), return_exceptions=True)
    assert replies[0].outputs["total"].tolist() == [1]
    assert isinstance(replies[1], InvalidInput)
    assert replies[2].outputs["total"].tolist() == [3]


async def test_a_block_stops_growing_at_its_bytes():
    link = Link(held=True)
    subject = Coalescer(link, bounds=Bounds(block_bytes=3 * 12))  # three rows of three floats
    tasks = [asyncio.create_task(ask(subject, float(i))) for i in range(7)]
    link.gate.set()
    await asyncio.gather(*tasks)
    assert [len(block) for block in link.blocks] == [3, 3, 1]


async def test_only_like_shapes_share_a_block():
    seen = []

    async def send(block):
        seen.append(block.inputs["x"].shape)
        return BlockReply({"total": block.inputs["x"].sum(axis=1)}, tuple(EntryResult() for _ in block.entries))

    subject = Coalescer(send)
    requests = [InferenceRequest("m", {"x": np.ones((1, width))}) for width in (2, 4, 2)]
    replies = await asyncio.gather(*(subject.submit(one, 20) for one in requests))
    assert [reply.outputs["total"].tolist() for reply in replies] == [[2], [4], [2]]
    assert seen == [(2, 2), (1, 4)]


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
