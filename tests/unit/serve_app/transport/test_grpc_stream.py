"""Requests of a stream beside each other: their bounds, and their end."""

from __future__ import annotations

import asyncio

import pytest
from support.waiting import until

from serve_app.transport.grpc_stream import Interleaved


async def endless(sent: list[bytes]):
    while True:
        sent.append(b"12345")
        yield sent[-1]


class Answers:
    """One answer to each request, given once the test allows it."""

    def __init__(self) -> None:
        self.begun, self.closed, self.go = 0, 0, asyncio.Event()

    async def __call__(self, message: bytes):
        self.begun += 1
        try:
            await self.go.wait()
            yield message
        finally:
            self.closed += 1


@pytest.mark.parametrize(("bounds", "most"), [({"max_bytes": 10**6, "max_requests": 3}, 3), ({"max_bytes": 9}, 2)])
async def test_no_more_is_read_than_is_served(bounds, most):
    answers, sent = Answers(), []
    stream = Interleaved(answers, **bounds).of(endless(sent))
    first = asyncio.create_task(anext(stream))
    await until(lambda: answers.begun == most)
    assert len(sent) == most
    answers.go.set()
    assert await first == b"12345"
    await stream.aclose()
    await until(lambda: answers.closed == answers.begun)


async def test_to_close_a_stream_ends_its_work():
    answers = Answers()
    stream = Interleaved(answers, 100).of(endless([]))
    first = asyncio.create_task(anext(stream))
    await until(lambda: answers.begun > 1)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await stream.aclose()
    assert answers.closed == answers.begun


async def test_what_breaks_the_stream_is_raised():
    async def broken():
        yield b"1"
        raise ConnectionError("gone")

    answers = Answers()
    answers.go.set()
    with pytest.raises(ExceptionGroup) as raised:
        assert [answer async for answer in Interleaved(answers, 100).of(broken())] == [b"1"]
    assert raised.group_contains(ConnectionError, match="gone")
