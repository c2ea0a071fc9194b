"""Models that are executed elsewhere: in another thread or process, within a time, and again if they were lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from serve_app.errors import CapacityError, DeadlineExceeded, DeadlineUnreachable
from serve_app.types import Tensors, Timings

_T = TypeVar("_T")


class Called(NamedTuple):
    """What a call gave, and where its time went; None where nobody says."""

    outputs: Tensors
    timings: Timings | None = None


Call = Callable[[Tensors, float | None], Awaitable[Called]]
"""Executes a model elsewhere: its inputs, and the seconds that are left (None: any time).

Raises what `CheckedRuntime.predict` raises, and a `CapacityError` where the model is away, full or too late.
"""


class Limits(NamedTuple):
    """What a node that waits keeps to.

    Attributes:
        name: Of the node, for errors.
        timeout_s: For all its attempts together; None for any time.
        retries: How often what was lost, or found a full queue, is tried again.
    """

    name: str
    timeout_s: float | None = None
    retries: int = 0


def threaded(predict: Callable[[Tensors], Tensors], name: str) -> Call:
    """A model of this process in a thread of its own, one execution after the other."""
    thread = ThreadPoolExecutor(1, thread_name_prefix=f"node-{name}")

    async def call(inputs: Tensors, _: float | None) -> Called:
        """Whoever stops waiting does not stop the thread."""
        return Called(await asyncio.get_running_loop().run_in_executor(thread, predict, inputs))

    return call


async def within(limits: Limits, left_s: float | None, attempt: Callable[[float | None], Awaitable[_T]]) -> _T:
    """What an attempt gives; repeated if it was lost or found a full queue, which nothing can have come of.

    Args:
        limits: Of the node.
        left_s: Seconds that the request has left; None for any time.
        attempt: Called with the seconds that this one may take.

    Raises:
        DeadlineExceeded: No answer within the limit, or within what is left.
    """
    limit_s = min((one for one in (limits.timeout_s, left_s) if one is not None), default=None)
    loop = asyncio.get_running_loop()
    ends = None if limit_s is None else loop.time() + limit_s
    try:
        async with asyncio.timeout_at(ends):
            for _ in range(limits.retries):
                try:
                    return await attempt(None if ends is None else max(0.0, ends - loop.time()))
                except (DeadlineExceeded, DeadlineUnreachable):
                    raise
                except CapacityError:
                    continue
            return await attempt(None if ends is None else max(0.0, ends - loop.time()))
    except TimeoutError:
        raise DeadlineExceeded(limits.name, round(limit_s or 0.0, 3)) from None


class LoopThread:
    """An event loop in a thread of its own, started when it is needed first; it ends with the process."""

    def run(self, coroutine: Coroutine[Any, Any, Tensors]) -> Tensors:
        """Run a coroutine there, waiting for it here."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, name="graph", daemon=True).start()
        return loop
