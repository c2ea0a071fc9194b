"""Models that are executed elsewhere: in another thread or process, within a time, and again if they were lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from serve_app.errors import CapacityError, DeadlineExceeded, DeadlineUnreachable, ReplicaLost
from serve_app.types import Tensors, Timings

_T = TypeVar("_T")
PAUSE_S = 0.05  # before the first repetition, and twice as long before each further one


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


async def within(limits: Limits, left_s: float | None, attempt: Callable[[float | None], Awaitable[_T]]) -> _T:
    """What an attempt gives; repeated if it was lost or found a full queue, which nothing can have come of.

    Args:
        limits: Of the node.
        left_s: Seconds that the request has left; None for any time.
        attempt: Called with the seconds that this one may take.

    Raises:
        DeadlineExceeded: No answer within the limit, or within what is left.
        CapacityError: The last attempt's.
    """
    limit_s = min((one for one in (limits.timeout_s, left_s) if one is not None), default=None)
    loop = asyncio.get_running_loop()
    ends = None if limit_s is None else loop.time() + limit_s
    try:
        async with asyncio.timeout_at(ends) as time:
            for attempts in range(limits.retries):
                try:
                    return await attempt(None if ends is None else max(0.0, ends - loop.time()))
                except (DeadlineExceeded, DeadlineUnreachable):
                    raise
                except CapacityError as error:
                    if not isinstance(error, ReplicaLost):  # another replica may answer at once; a full queue does not
                        await asyncio.sleep(min(error.retry_after_s, PAUSE_S * 2**attempts))
            return await attempt(None if ends is None else max(0.0, ends - loop.time()))
    except TimeoutError:
        if not time.expired():  # the attempt's own
            raise
        is_limit = limits.timeout_s is not None and limits.timeout_s == limit_s
        raise DeadlineExceeded(limits.name, round(limit_s or 0.0, 3), is_limit) from None


class LoopThread:
    """An event loop in a thread of its own, started when it is needed first, and threads for models that it waits for.

    They end with `close`, else with the process.
    """

    def __init__(self) -> None:
        self._threads: list[ThreadPoolExecutor] = []
        self._started: asyncio.AbstractEventLoop | None = None
        self._is_closed, self._starting = False, threading.Lock()

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine there, waiting for it here.

        Raises:
            RuntimeError: It is closed.
        """
        with self._starting:
            if self._is_closed:
                coroutine.close()
                raise RuntimeError("the graph is closed")
            running = asyncio.run_coroutine_threadsafe(coroutine, self._loop())
        return running.result()

    def thread(self, name: str) -> ThreadPoolExecutor:
        """A thread for one node."""
        thread = ThreadPoolExecutor(1, thread_name_prefix=f"node-{name}")
        self._threads.append(thread)
        return thread

    def threaded(self, predict: Callable[[Tensors], Tensors], name: str) -> Call:
        """A model of this process in a thread of its own, one execution after the other."""
        thread = self.thread(name)

        async def call(inputs: Tensors, _: float | None) -> Called:
            """Whoever stops waiting does not stop the thread."""
            return Called(await asyncio.get_running_loop().run_in_executor(thread, predict, inputs))

        return call

    def close(self, *endings: Callable[[], Awaitable[None]]) -> None:
        """End the threads once what runs there is over, which is not waited for.

        Args:
            endings: Executed there before, each after everything that used what it ends.
        """
        with self._starting:  # what was run before is a task of the loop before its end is
            loop, self._started, self._is_closed = self._started, None, True
            if loop is not None:
                asyncio.run_coroutine_threadsafe(self._end(endings), loop)

    def _loop(self) -> asyncio.AbstractEventLoop:
        if self._started is None:
            self._started = asyncio.new_event_loop()
            threading.Thread(target=_serve, args=(self._started,), name="graph", daemon=True).start()
        return self._started

    async def _end(self, endings: Iterable[Callable[[], Awaitable[None]]]) -> None:
        running = asyncio.all_tasks() - {asyncio.current_task()}
        if running:
            await asyncio.wait(running)
        await asyncio.gather(*(ending() for ending in endings), return_exceptions=True)
        for thread in self._threads:
            thread.shutdown(wait=False)
        asyncio.get_running_loop().stop()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop until it is stopped, and then what closed connections have left to do."""
    loop.run_forever()
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
