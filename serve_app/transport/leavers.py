"""Clients that hang up before their answer: what they asked for is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar

from starlette.types import Receive

LOOK_PERIOD_S = 0.02

Result = TypeVar("Result")
Left = Callable[[], Awaitable[None]]
"""Gives something to await until the client has hung up."""


class Leavers:
    """Runs the work of requests and cancels that of clients that left.

    To wait for a client's leaving costs as much as a small request, so nobody does in the first one or two periods of
    it: work that is done by then is never watched.

    Args:
        period_s: Seconds between looks at what is being worked on; there are none while nothing is.
    """

    def __init__(self, period_s: float = LOOK_PERIOD_S) -> None:
        self._period_s = period_s
        self._working: dict[asyncio.Task[object], Left] = {}
        self._seen: frozenset[asyncio.Task[object]] = frozenset()
        self._watches: dict[asyncio.Task[object], asyncio.Task[None]] = {}
        self._left: set[asyncio.Task[object]] = set()
        self._is_looking = False

    @property
    def working(self) -> int:
        """Requests that are being worked on."""
        return len(self._working)

    @property
    def watched(self) -> int:
        """Those of them whose client is watched."""
        return len(self._watches)

    async def run(self, work: Awaitable[Result], left: Left) -> Result | None:
        """The result of the work, or None if it was cancelled because its client left.

        Args:
            work: Done in the calling task, which must do nothing else meanwhile.
            left: Waits until the client has hung up.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        self._working[task] = left
        if not self._is_looking:
            self._look_later()
        try:
            return await work
        except asyncio.CancelledError:
            if task not in self._left:
                raise
            task.uncancel()
            return None
        finally:
            del self._working[task]
            if watch := self._watches.pop(task, None):
                watch.cancel()
                self._left.discard(task)

    def _look_later(self) -> None:
        self._is_looking = True
        asyncio.get_running_loop().call_later(self._period_s, self._look)

    def _look(self) -> None:
        """Have the clients watched whose requests were there at the last look already."""
        for task in self._seen - self._watches.keys():
            if task in self._working:
                self._watches[task] = asyncio.create_task(self._cancel_if_left(task))
        self._seen = frozenset(self._working)
        self._is_looking = False
        if self._working:
            self._look_later()

    async def _cancel_if_left(self, task: asyncio.Task[object]) -> None:
        await self._working[task]()
        if task in self._working:
            self._left.add(task)
            task.cancel()


async def while_connected(work: Coroutine[object, object, Result], receive: Receive) -> Result | None:
    """The result of the work, or None once an ASGI client has hung up; the work is then cancelled."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(disconnected(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def disconnected(receive: Receive) -> None:
    """Return once an ASGI client, whose body was read, has hung up."""
    while (await receive())["type"] != "http.disconnect":
        continue
