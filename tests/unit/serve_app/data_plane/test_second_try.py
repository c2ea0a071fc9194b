"""Lost requests: tried again alone and once, so that one that kills replicas takes nobody along for good."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest
from support.arithmetic import Executor, rows
from support.clusters import Changing
from support.gateway import plane_of, table
from support.waiting import until

from serve_app.batching.coalescer import Bounds
from serve_app.data_plane.second_try import Attempt, SecondTries
from serve_app.errors import DeadlineExceeded, InvalidInput, ModelNotReady, ReplicaLost
from serve_app.types import InferenceRequest

POISON = 666.0


class Fragile(Executor):
    """A release whose replica dies of one value, remembering every call; deaths can be ordered as well."""

    def __init__(self, version: str = "v1", deaths: int = 0, **changes) -> None:
        super().__init__(version, **changes)
        self.deaths, self.calls = deaths, list[list[float]]()
        self.gate = asyncio.Event()
        self.gate.set()

    async def infer(self, *blocks):
        values = [value for block in blocks for value in block.inputs["x"][:, 0].tolist()]
        self.calls.append(values)
        await self.gate.wait()
        if POISON in values or self.deaths:
            self.deaths = max(0, self.deaths - 1)
            raise ReplicaLost(self.info.release)
        return await super().infer(*blocks)

    @property
    def executed(self) -> Counter[float]:
        return Counter(value for call in self.calls for value in call)


class OneReplica(Changing):
    """A cluster of releases that have one replica each."""

    def __init__(self, *executors: Executor) -> None:
        super().__init__()
        self.ready, self.replicas = {executor.info.release: executor for executor in executors}, 1


def request(value: float, **more) -> InferenceRequest:
    return InferenceRequest("arithmetic", {"x": rows(value)}, **more)


def gateway(*executors: Executor, **traffic: float):
    return plane_of(
        OneReplica(*executors), table(arithmetic={"traffic": traffic or {"v1": 100}}), random_point=lambda: 0.1
    )


async def answers(plane, *values: float, **more) -> list[object]:
    asked = (plane.infer(request(value, **more)) for value in values)
    told = await asyncio.gather(*asked, return_exceptions=True)
    return [one if isinstance(one, Exception) else int(one.outputs["total"][0]) for one in told]


async def test_of_a_poison_request_among_30_others_it_alone_is_lost_and_executed_exactly_twice():
    release = Fragile(max_rows=64)
    async with gateway(release) as plane:
        told = await answers(plane, *range(15), POISON, *range(15, 30))
    assert isinstance(told.pop(15), ReplicaLost)
    assert told == [3 * value for value in range(30)]
    assert release.executed[POISON] == 2
    assert [len(call) for call in release.calls] == [31] + [1] * 31


async def test_two_poison_requests_in_one_block_do_not_take_anybody_along():
    release = Fragile()
    async with gateway(release) as plane:
        told = await answers(plane, 1, POISON, 2, POISON, 3)
    assert [type(one) for one in told] == [int, ReplicaLost, int, ReplicaLost, int]
    assert release.executed == {1: 2, 2: 2, 3: 2, POISON: 4}


async def test_requests_of_the_only_replica_go_to_the_other_ready_version_when_it_is_killed():
    v1, v2 = Fragile("v1", deaths=1, max_rows=64), Fragile("v2")
    async with gateway(v1, v2, v1=90, v2=10) as plane:
        told = await answers(plane, *range(20))
    assert told == [3 * value for value in range(20)]
    assert v1.calls == [list(range(20))]
    assert [len(call) for call in v2.calls] == [1] * 20


async def test_what_had_not_left_is_under_no_suspicion_and_travels_with_others():
    release = Fragile()
    release.gate.clear()
    async with gateway(release) as plane:
        plane.directory.resolve("arithmetic", "v1", 0.0).coalescer.bounds = Bounds()
        first = asyncio.create_task(answers(plane, POISON))
        await until(lambda: release.calls == [[POISON]])
        waiting = asyncio.create_task(answers(plane, 1, 2, 3))
        await until(lambda: plane.directory.resolve("arithmetic", "v1", 0.0).coalescer.queued_rows == 3)
        release.gate.set()
        assert await waiting == [3, 6, 9]
        assert [type(one) for one in await first] == [ReplicaLost]
    assert sorted(map(sorted, release.calls), key=len) == [[POISON], [POISON], [1, 2, 3]]


async def test_what_may_not_be_repeated_is_not_and_says_why():
    release = Fragile(deaths=1, idempotent=False)
    async with gateway(release) as plane:
        (told,) = await answers(plane, 1)
    assert str(told) == (
        "a replica of arithmetic-v1 died while it worked on this request, which was not tried again: the model's "
        "manifest says idempotent: false"
    )
    assert release.calls == [[1]]


class Release:
    """Routes and executions of a fake release; it answers a request's tag."""

    def __init__(self, *losses: ReplicaLost) -> None:
        self.losses, self.log = list(losses), list[tuple[str, bool]]()
        self.is_ready, self.changes, self.held = True, 0, asyncio.Event()
        self.held.set()
        self.refusal: Exception | None = None
        self.route = type("Route", (), {"info": Executor().info})()
        self.tries = SecondTries(self.route_of, self.changed, self.execute)

    def route_of(self, request):
        if self.refusal:
            raise self.refusal
        if not self.is_ready:
            raise ModelNotReady("m", "", "it is starting")
        return self.route

    async def changed(self, within_s):
        self.changes += 1
        self.is_ready = True

    async def execute(self, attempt, request, deadline):
        self.log.append((request.id, attempt.is_alone))
        await self.held.wait()
        if self.losses:
            raise self.losses.pop(0)
        if deadline <= time.perf_counter():
            raise DeadlineExceeded("m-v1", 0)
        return request.id

    async def ask(self, tag: str, lost: ReplicaLost | None = None, within_s: float = 20):
        lost, asked = lost or ReplicaLost("m-v1"), InferenceRequest("m", {}, id=tag)
        return await self.tries.answer(lost, Attempt(self.route, self.route), asked, time.perf_counter() + within_s)


UNSENT = ReplicaLost("m-v1", was_sent=False)


async def test_lost_requests_take_turns():
    subject = Release()
    subject.held.clear()
    asked = [asyncio.create_task(subject.ask(tag)) for tag in "abc"]
    await until(lambda: bool(subject.log))
    await asyncio.sleep(0)
    assert subject.log == [("a", True)]
    subject.held.set()
    assert await asyncio.gather(*asked) == ["a", "b", "c"]
    assert subject.log == [("a", True), ("b", True), ("c", True)]


async def test_the_second_loss_is_final():
    subject = Release(ReplicaLost("m-v1"))
    with pytest.raises(ReplicaLost):
        await subject.ask("a")
    assert subject.log == [("a", True)]


async def test_a_loss_without_having_left_does_not_count():
    subject = Release(UNSENT, UNSENT, ReplicaLost("m-v1"))
    assert await subject.ask("a", UNSENT) == "a"
    assert subject.log == [("a", False)] * 3 + [("a", True)]


async def test_the_next_in_turn_waits_for_the_replica_that_the_one_before_killed():
    subject = Release(ReplicaLost("m-v1"))
    subject.held.clear()
    asked = [asyncio.create_task(subject.ask(tag)) for tag in "ab"]
    await until(lambda: bool(subject.log))
    subject.is_ready = False
    subject.held.set()
    assert [type(told) for told in await asyncio.gather(*asked, return_exceptions=True)] == [ReplicaLost, str]
    assert subject.changes == 1


async def test_who_would_wait_too_long_for_a_turn_goes_with_others():
    subject = Release()
    subject.held.clear()
    first = asyncio.create_task(subject.ask("a"))
    await until(lambda: bool(subject.log))
    others = [asyncio.create_task(subject.ask(tag, within_s=0.05)) for tag in "bc"]
    await until(lambda: len(subject.log) == 3)
    assert sorted(subject.log) == [("a", True), ("b", False), ("c", False)]
    subject.held.set()
    await asyncio.gather(first, *others, return_exceptions=True)


async def test_a_client_that_leaves_gives_its_turn_to_the_next():
    subject = Release()
    subject.held.clear()
    leaving, staying = (asyncio.create_task(subject.ask(tag)) for tag in "ab")
    await until(lambda: bool(subject.log))
    leaving.cancel()
    subject.held.set()
    assert await staying == "b"


async def test_a_request_that_does_not_fit_what_is_ready_now_is_lost():
    subject = Release()
    subject.refusal = InvalidInput("input 'x'", "is missing")
    with pytest.raises(ReplicaLost):
        await subject.ask("a")
    assert subject.log == []
