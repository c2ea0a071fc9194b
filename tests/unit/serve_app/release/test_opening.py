"""A controller whose database comes late."""

from __future__ import annotations

import asyncio

import pytest
from support.releases import FakeControl

from serve_app.errors import ControllerAway
from serve_app.release.commands import Promote
from serve_app.release.messages import GatewayReport
from serve_app.release.opening import FIRST_WAIT_S, LONGEST_WAIT_S, Opening

REPORT = GatewayReport("g", 0, {})


class Closable(FakeControl):
    closed = False

    async def close(self):
        self.closed = True


class Starting:
    """Fails so many times."""

    def __init__(self, failures: int) -> None:
        self.failures, self.control, self.waits = failures, Closable(), list[float]()

    async def __call__(self):
        if len(self.waits) < self.failures:
            raise ConnectionError("no database")
        return self.control

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)


async def opened(start: Starting) -> Opening:
    opening = Opening(start, start.sleep)
    opening.open()
    opening.open()
    for _ in range(2 * start.failures + 3):
        await asyncio.sleep(0)
    return opening


async def test_calls_reach_the_controller_once_it_is_started():
    start = Starting(0)
    opening = await opened(start)
    assert (await opening.exchange(REPORT)).revision == 7
    assert await opening.command(Promote(model="m")) == {"done": "promote"}
    assert "models" in await opening.status()
    assert await opening.experiment("layout") == {"name": "layout"}
    await opening.close()
    assert start.control.closed


async def test_it_is_tried_again_ever_later():
    start = Starting(7)
    opening = await opened(start)
    assert start.waits == [FIRST_WAIT_S, 1, 2, 4, 8, LONGEST_WAIT_S, LONGEST_WAIT_S]
    assert "models" in await opening.status()
    await opening.close()


async def test_a_database_that_is_away_is_told_in_one_sentence():
    async def start():
        raise ControllerAway("its database sqlite:///state.db: it is locked")

    async def forever(seconds: float) -> None:
        await asyncio.Event().wait()

    opening = Opening(start, forever)
    opening.open()
    await asyncio.sleep(0)
    with pytest.raises(ControllerAway) as away:
        await opening.status()
    assert away.value.reason == "its database sqlite:///state.db: it is locked"
    await opening.close()


async def test_until_then_calls_are_told_why():
    start = Starting(1)

    async def forever(seconds: float) -> None:
        await asyncio.Event().wait()

    opening = Opening(start, forever)
    with pytest.raises(ControllerAway, match="it is starting"):
        await opening.exchange(REPORT)
    opening.open()
    await asyncio.sleep(0)
    for call in (
        opening.exchange(REPORT),
        opening.command(Promote(model="m")),
        opening.status(),
        opening.experiment("e"),
    ):
        with pytest.raises(ControllerAway, match="ConnectionError: no database; traffic goes on"):
            await call
    await opening.close()
    assert not start.control.closed
