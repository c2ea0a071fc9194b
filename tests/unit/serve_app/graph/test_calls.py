"""Calls of models elsewhere: how long they may take, what is repeated, and which threads there are for how long."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from support.waiting import graph_threads, until

from serve_app.errors import (
    DeadlineExceeded,
    DeadlineUnreachable,
    InvalidInput,
    ModelRaised,
    Overloaded,
    RemoteUnavailable,
    ReplicaLost,
)
from serve_app.graph.calls import Limits, LoopThread, within

ROWS = {"x": np.ones((2, 1), np.float32)}
LOST = ReplicaLost("m-v1 node a")


class Calls:
    """Raises what it is given, in turn; then answers. None never ends."""

    def __init__(self, *errors: Exception | None) -> None:
        self._errors, self.left = list(errors), list[float | None]()

    async def __call__(self, left_s):
        self.left.append(left_s)
        if self._errors:
            error = self._errors.pop(0)
            if error is None:
                await asyncio.Event().wait()
            raise error
        return "answer"


async def test_without_any_limit_a_call_is_as_it_was():
    calls = Calls()
    assert await within(Limits("a"), None, calls) == "answer"
    assert calls.left == [None]


@pytest.mark.parametrize(
    ("timeout_s", "left_s"), [(0.01, None), (0.01, 60), (60, 0.01), (None, 0.01)], ids=["own", "own", "left", "left"]
)
async def test_the_nearer_end_is_kept_to(timeout_s, left_s):
    calls = Calls(None)
    with pytest.raises(DeadlineExceeded, match=r"^a could not answer within 0\.01 s$"):
        await within(Limits("a", timeout_s, 5), left_s, calls)
    (told,) = calls.left
    assert 0 < told <= 0.01


@pytest.mark.parametrize(
    "error", [LOST, Overloaded("m-v1", 8), RemoteUnavailable("m-v1 node a", "host:1", "refused")], ids=repr
)
async def test_what_was_lost_or_not_taken_in_is_repeated(error):
    calls = Calls(error, error)
    assert await within(Limits("a", 60, 2), None, calls) == "answer"
    assert calls.left == sorted(calls.left, reverse=True)  # all attempts together have the time of one
    assert len(calls.left) == 3


async def test_after_the_last_attempt_its_error_is_the_calls():
    calls = Calls(Overloaded("m-v1", 8), LOST)
    with pytest.raises(ReplicaLost):
        await within(Limits("a", None, 1), None, calls)


@pytest.mark.parametrize(
    "error",
    [
        ModelRaised("m-v1", "KeyError"),
        InvalidInput("input 'x'", "is no text"),
        DeadlineExceeded("m-v1", 1),
        DeadlineUnreachable("m-v1", 2, 1),
    ],
    ids=repr,
)
async def test_what_would_end_alike_is_not_repeated(error):
    calls = Calls(error)
    with pytest.raises(type(error)):
        await within(Limits("a", 60, 5), None, calls)
    assert len(calls.left) == 1


class Held:
    """A model that remembers its threads, and waits until it is let go."""

    def __init__(self) -> None:
        self.threads, self.go, self.at_once, self.most = list[str](), threading.Event(), 0, 0

    def predict(self, inputs):
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        self.threads.append(threading.current_thread().name)
        assert self.go.wait(20)
        self.at_once -= 1
        return inputs


async def test_a_model_of_this_process_has_a_thread_of_its_own_and_is_executed_once_at_a_time():
    model, loop = Held(), LoopThread()
    call = loop.threaded(model.predict, "a")
    given_up, first, second = (asyncio.ensure_future(call(ROWS, None)) for _ in range(3))
    await until(lambda: model.at_once == 1)
    given_up.cancel()
    model.go.set()
    assert [(await one).outputs for one in (first, second)] == [ROWS, ROWS]
    assert model.threads == ["node-a_0"] * 3
    assert model.most == 1


async def test_threads_end_after_what_runs_and_after_what_it_needs_was_ended():
    before, over = graph_threads(), list[str]()
    model, loop = Held(), LoopThread()
    call = loop.threaded(model.predict, "a")

    async def work():
        called = await call(ROWS, None)
        over.append("the call")
        return called

    async def broken():
        raise OSError("the connection was closed by the other side")

    async def ending():
        over.append("its connection")

    running = asyncio.create_task(asyncio.to_thread(loop.run, work()))
    await until(lambda: model.at_once == 1)
    assert len(graph_threads() - before) == 2
    loop.close(broken, ending)
    model.go.set()
    assert (await running).outputs is ROWS
    await until(lambda: not graph_threads() - before)
    assert over == ["the call", "its connection"]


async def test_all_threads_share_one_loop():
    loop = LoopThread()

    async def here():
        return asyncio.get_running_loop()

    loops = await asyncio.gather(*(asyncio.to_thread(loop.run, here()) for _ in range(8)))
    assert len({*loops}) == 1
    loop.close()
    await until(loops[0].is_closed)


def test_nothing_was_started_so_nothing_ends():
    before = graph_threads()
    LoopThread().close()
    assert graph_threads() == before


def test_nothing_runs_in_a_loop_that_was_closed():
    async def nothing():
        return 1

    thread = LoopThread()
    assert thread.run(nothing()) == 1
    thread.close()
    with pytest.raises(RuntimeError, match="closed"):
        thread.run(nothing())


async def test_a_time_out_of_the_attempts_own_is_not_the_nodes():
    async def attempt(_):
        raise TimeoutError("of a library")

    with pytest.raises(TimeoutError, match="of a library"):
        await within(Limits("a", 60), None, attempt)


@pytest.mark.parametrize(("timeout_s", "left_s", "is_limit"), [(0.01, 60, True), (60, 0.01, False)])
async def test_who_set_the_limit_is_known(timeout_s, left_s, is_limit):
    async def hangs(_):
        await asyncio.Event().wait()

    with pytest.raises(DeadlineExceeded) as raised:
        await within(Limits("a", timeout_s), left_s, hangs)
    assert raised.value.is_limit == is_limit
