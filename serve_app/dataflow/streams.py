"""Decoupled models in a replica: their generators, advanced in worker threads, within bounds."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from serve_app.config.release import BatchingConfig
from serve_app.dataflow.model import Stream
from serve_app.errors import Overloaded, TooLarge
from serve_app.types import Tensors, Timings, rows_of


@dataclass(slots=True)
class _Instance:
    """One copy of the model with its thread, and how many of its streams are open."""

    stream: Stream
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "stream"))
    open: int = 0


class Streams:
    """The requests that a decoupled model is answering.

    As many rows are open at a time as `batching.max_rows`; further requests wait for their turn, within
    `batching.max_queue_rows`. The open streams of an instance take turns: one response of one of them at a time.

    Args:
        streams: One for each instance of the model, at least one.
        batching: Limits.
        release: Name for errors.
    """

    def __init__(self, streams: Sequence[Stream], batching: BatchingConfig, release: str) -> None:
        self._instances = [_Instance(stream) for stream in streams]
        self._room = Room(batching, release)

    def configure(self, batching: BatchingConfig) -> None:
        """Take other limits into use; what is open stays open."""
        self._room.configure(batching)

    def close(self) -> None:
        """End the threads, once each is through with the response it is at."""
        for instance in self._instances:
            instance.thread.shutdown(wait=False, cancel_futures=True)

    async def of(self, inputs: Tensors) -> AsyncGenerator[tuple[Tensors, Timings], None]:
        """The responses to one request; to close it ends the work, at the model's next response.

        Args:
            inputs: Every input of the signature, all with the same rows, at least 1.

        Returns:
            Each response as `CheckedStreamingRuntime.stream` gives it, with what it took.

        Raises:
            TooLarge: More rows than may be open.
            Overloaded: Too many rows wait already.
            ServeAppError: What the model did wrong, or what it refuses.
        """
        rows, arrived = rows_of(inputs), time.perf_counter()
        await self._room.enter(rows)
        queued_s = time.perf_counter() - arrived
        instance = min(self._instances, key=lambda instance: instance.open)
        instance.open += 1
        loop, responses = asyncio.get_running_loop(), instance.stream(inputs)

        def left() -> None:
            instance.open -= 1
            self._room.leave(rows)

        def closed() -> None:
            """In the thread, behind the response that it may still be at."""
            try:
                responses.close()
            finally:
                with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                    loop.call_soon_threadsafe(left)

        try:
            while True:
                started = time.perf_counter()
                response = await loop.run_in_executor(instance.thread, next, responses, None)
                if response is None:
                    return
                yield response, Timings(queued_s, 0.0, time.perf_counter() - started, rows)
                queued_s = 0.0
        finally:
            instance.thread.submit(closed)


class Room:
    """Rows that may be open at a time; requests are let in as they came.

    Args:
        batching: Its `max_rows` may be open, its `max_queue_rows` wait.
        release: Name for errors.
    """

    def __init__(self, batching: BatchingConfig, release: str) -> None:
        self._batching, self._release = batching, release
        self._open = 0
        self._waiting: dict[asyncio.Future[None], int] = {}

    def configure(self, batching: BatchingConfig) -> None:
        """Take other limits into use."""
        self._batching = batching
        self._let_in()

    async def enter(self, rows: int) -> None:
        """Return once so many more rows may be open.

        Raises:
            TooLarge: They never may.
            Overloaded: Too many rows wait already.
        """
        most, most_waiting = self._batching.max_rows, self._batching.max_queue_rows
        if rows > most:
            raise TooLarge("the request", rows, most, "rows")
        if not self._waiting and self._open + rows <= most:
            self._open += rows
            return
        if sum(self._waiting.values()) + rows > most_waiting:
            raise Overloaded(self._release, most_waiting)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = rows
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # let in and gone in the same moment
                self.leave(rows)
            raise
        finally:
            self._waiting.pop(turn, None)
            self._let_in()

    def leave(self, rows: int) -> None:
        """So many are no longer open."""
        self._open -= rows
        self._let_in()

    def _let_in(self) -> None:
        for turn, rows in list(self._waiting.items()):
            if self._open + rows > self._batching.max_rows:
                return
            del self._waiting[turn]
            if not turn.done():
                self._open += rows
                turn.set_result(None)
