"""Many requests of one stream, served beside each other within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import aclosing
from typing import Generic, TypeVar

Answer = TypeVar("Answer")

MAX_REQUESTS = 64  # of one stream that are served at a time


class Interleaved(Generic[Answer]):
    """What the requests of a stream are answered, each answer as it comes.

    No further request is read while `max_requests` are served, or while those served have `max_bytes` together, and
    nobody computes an answer beyond the one that the client's connection has no room for: so the memory a stream takes
    is bounded however fast it sends and however slowly it reads.

    Args:
        answers: What one request is answered; it raises nothing but what ends the whole stream.
        max_requests: At least 1.
        max_bytes: Of requests; the one that exceeds it is still served.
    """

    def __init__(
        self,
        answers: Callable[[bytes], AsyncGenerator[Answer, None]],
        max_bytes: int,
        max_requests: int = MAX_REQUESTS,
    ) -> None:
        self._answers, self._max_bytes, self._max_requests = answers, max_bytes, max_requests
        self._served, self._served_bytes = 0, 0
        self._done = asyncio.Event()  # a request was, since this was cleared
        self._room = asyncio.Semaphore(1)
        self._ready: asyncio.Queue[Answer | None] = asyncio.Queue()

    async def of(self, messages: AsyncIterable[bytes]) -> AsyncGenerator[Answer, None]:
        """All answers; to close the generator ends the work on those that are not there yet."""
        reading = asyncio.create_task(self._read(messages))
        reading.add_done_callback(lambda _: self._ready.put_nowait(None))
        try:
            while (answer := await self._ready.get()) is not None:
                self._room.release()
                yield answer
            if not reading.cancelled():
                reading.result()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(self, messages: AsyncIterable[bytes]) -> None:
        async with asyncio.TaskGroup() as group:
            async for message in messages:
                self._served, self._served_bytes = self._served + 1, self._served_bytes + len(message)
                group.create_task(self._serve(message))
                del message  # else it would stay until the next
                while self._served >= self._max_requests or self._served_bytes >= self._max_bytes:
                    self._done.clear()
                    await self._done.wait()

    async def _serve(self, message: bytes) -> None:
        async with aclosing(self._answers(message)) as answers:
            async for answer in answers:
                await self._room.acquire()
                self._ready.put_nowait(answer)
        self._served, self._served_bytes = self._served - 1, self._served_bytes - len(message)
        self._done.set()
