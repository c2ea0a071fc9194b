"""Clients that hang up: cancelled soon, and cheap for those who stay."""

from __future__ import annotations

import asyncio

import pytest
from support.waiting import until

from serve_app.transport.leavers import Leavers


class Client:
    """Hangs up when told to; remembers whether anybody waited for it."""

    def __init__(self) -> None:
        self.is_watched = False
        self._gone = asyncio.Event()

    async def left(self) -> None:
        self.is_watched = True
        try:
            await self._gone.wait()
        finally:
            self.is_watched = False

    def hang_up(self) -> None:
        self._gone.set()


async def answer(event: asyncio.Event) -> str:
    await event.wait()
    return "answer"


async def test_work_gives_its_result():
    done = asyncio.Event()
    done.set()
    assert await Leavers().run(answer(done), Client().left) == "answer"


async def test_short_work_is_never_watched():
    leavers, client, done = Leavers(period_s=0.01), Client(), asyncio.Event()
    done.set()
    for _ in range(100):
        await leavers.run(answer(done), client.left)
    assert leavers.working == leavers.watched == 0
    assert not client.is_watched


async def test_long_work_is_watched_until_it_is_done():
    leavers, client, done = Leavers(period_s=0.001), Client(), asyncio.Event()
    running = asyncio.create_task(leavers.run(answer(done), client.left))
    await until(lambda: client.is_watched)
    assert (leavers.working, leavers.watched) == (1, 1)
    done.set()
    assert await running == "answer"
    await until(lambda: not client.is_watched)
    assert leavers.working == leavers.watched == 0


async def test_the_work_of_a_client_that_left_is_cancelled():
    leavers, leaver, stayer, done = Leavers(period_s=0.001), Client(), Client(), asyncio.Event()
    cancelled = asyncio.Event()

    async def work() -> str:
        try:
            return await answer(asyncio.Event())
        except asyncio.CancelledError:
            cancelled.set()
            raise

    left = asyncio.create_task(leavers.run(work(), leaver.left))
    stayed = asyncio.create_task(leavers.run(answer(done), stayer.left))
    await until(lambda: leaver.is_watched and stayer.is_watched)
    leaver.hang_up()
    assert await left is None
    assert left.cancelling() == 0
    assert cancelled.is_set()
    done.set()
    assert await stayed == "answer"


async def test_a_cancellation_that_is_not_ours_goes_on():
    leavers = Leavers(period_s=0.001)
    running = asyncio.create_task(leavers.run(answer(asyncio.Event()), Client().left))
    await until(lambda: leavers.watched == 1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert leavers.working == leavers.watched == 0


async def test_an_error_of_the_work_is_the_callers():
    async def fail() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await Leavers().run(fail(), Client().left)


async def test_nothing_looks_while_nothing_is_worked_on():
    leavers, client, done = Leavers(period_s=0.001), Client(), asyncio.Event()
    running = asyncio.create_task(leavers.run(answer(done), client.left))
    await until(lambda: client.is_watched)
    done.set()
    await running
    await until(lambda: not leavers._is_looking)
    again = asyncio.create_task(leavers.run(answer(asyncio.Event()), client.left))
    await until(lambda: client.is_watched)
    client.hang_up()
    assert await again is None
