"""How long bodies may take, without a timer for each: to arm and cancel one is a twentieth of a small request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from itertools import takewhile
from typing import Any, TypeVar

from serve_app.errors import BodyTimeout

LOOKS = 100  # at what is being read, in the time that a body may take; so a hundredth more may pass

Result = TypeVar("Result")


class BodyTime:
    """Bounds the reading of many bodies.

    Args:
        limit_s: Longest time for the whole of a body, in seconds; a hundredth more may pass.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._reading: dict[asyncio.Task[Any], float] = {}  # by when each began, on the loop's clock
        self._late: set[asyncio.Task[Any]] = set()
        self._is_looking = False

    def __len__(self) -> int:
        """Bodies that are being read."""
        return len(self._reading)

    async def bound(self, reading: Awaitable[Result]) -> Result:
        """What `reading`, done in the calling task, gives.

        Raises:
            BodyTimeout: It took too long, and was cancelled.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        loop = asyncio.get_running_loop()
        self._reading[task] = loop.time()
        if not self._is_looking:
            self._look_later(loop)
        try:
            return await reading
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
            raise BodyTimeout(self._limit_s) from None
        finally:
            self._reading.pop(task, None)
            self._late.discard(task)

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_looking = True
        loop.call_later(self._limit_s / LOOKS, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel what is late; there are no looks while nothing is read."""
        last = loop.time() - self._limit_s
        for task, _ in list(takewhile(lambda one: one[1] <= last, self._reading.items())):
            del self._reading[task]
            self._late.add(task)
            task.cancel()
        self._is_looking = False
        if self._reading:
            self._look_later(loop)
