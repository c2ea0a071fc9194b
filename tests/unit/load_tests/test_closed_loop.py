"""The load generator against a small real server."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

import pytest

from load_tests.closed_loop import Result, post, run


@asynccontextmanager
async def answering(answer: bytes, hang_up_after: int = 10**9):
    seen: list[bytes] = []

    async def serve(reader, writer):
        for _ in range(hang_up_after):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            seen.append(await reader.readexactly(length))
            for part in (answer[:5], answer[5:]):  # an answer may come in pieces
                writer.write(part)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield f"http://127.0.0.1:{port}/infer", seen


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


async def test_every_answer_is_counted_and_bodies_go_in_turn():
    async with answering(OK) as (url, seen):
        result = await run(url, [b"a", b"bb"], connections=2, seconds=0.2)
    assert result.statuses == Counter({200: len(seen)})
    assert len(result.latencies_ms) == len(seen) > 4
    assert (result.failed, result.broken) == (0, 0)
    assert abs(seen.count(b"a") - seen.count(b"bb")) <= 2


async def test_other_statuses_and_hang_ups_are_failures():
    async with answering(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", hang_up_after=3) as (url, _):
        result = await run(url, [b"a"], connections=1, seconds=30)
    assert result.statuses == Counter({503: 3})
    assert (result.broken, result.failed, result.requests_per_s) == (1, 4, 0)


def test_quantiles_are_of_the_sorted_latencies():
    result = Result(1, Counter({200: 100}), [float(i) for i in range(100)], 2.0, 0)
    assert (result.quantile_ms(0.99), result.median_ms, result.requests_per_s) == (99, 49.5, 50)
    assert Result(1, Counter(), [], 1.0, 0).quantile_ms(0.99) == 0


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_a_post_says_its_length(body):
    assert post("http://h:1/p", body).startswith(b"POST /p HTTP/1.1\r\nHost: h:1\r\n")
    assert post("http://h:1/p", body).endswith(f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
