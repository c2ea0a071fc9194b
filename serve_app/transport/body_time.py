"""How long bodies may take, without a timer for each: to arm and cancel one is a twentieth of a small request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from serve_app.batching.expiry import Expiry
from serve_app.errors import BodyTimeout

Result = TypeVar("Result")


class BodyTime:
    """Bounds the reading of many bodies.

    Args:
        limit_s: Longest time for the whole of a body, in seconds; a hundredth more may pass.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._expiry = Expiry[asyncio.Task[Any]](self._expire, tick_s=limit_s / 100)
        self._late: set[asyncio.Task[Any]] = set()

    async def bound(self, reading: Awaitable[Result]) -> Result:
        """What `reading`, done in the calling task, gives.

        Raises:
            BodyTimeout: It took too long, and was cancelled.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        tick = self._expiry.add(task, self._limit_s)
        try:
            return await reading
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
            raise BodyTimeout(self._limit_s) from None
        finally:
            self._expiry.discard(task, tick)
            self._late.discard(task)

    def _expire(self, task: asyncio.Task[Any]) -> None:
        self._late.add(task)
        task.cancel()
