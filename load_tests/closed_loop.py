"""Closed-loop HTTP load: each of n keep-alive connections sends its next request when the last is answered."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from load_tests.http_wire import address, parse_answer, post
from load_tests.points import ClosedPoint, quantile
from load_tests.target import Target


@dataclass(frozen=True, slots=True)
class Result:
    """One point of load.

    Attributes:
        statuses: How many answers had each HTTP status.
        latencies_ms: Of every answer, sorted.
        seconds: Time the load took.
        broken: Connections that could not be opened, or ended before they should.
    """

    connections: int
    statuses: Counter[int]
    latencies_ms: Sequence[float]
    seconds: float
    broken: int

    @property
    def failed(self) -> int:
        """Answers that are not 2xx, and broken connections."""
        return self.statuses.total() - self._succeeded + self.broken

    @property
    def point(self) -> ClosedPoint:
        """The figures for a report."""
        return ClosedPoint(
            connections=self.connections,
            seconds=self.seconds,
            answers=self.statuses.total(),
            requests_per_s=self._succeeded / self.seconds,
            p50_ms=quantile(self.latencies_ms, 0.5),
            p90_ms=quantile(self.latencies_ms, 0.9),
            p99_ms=quantile(self.latencies_ms, 0.99),
            failed=self.failed,
            tool="python",
        )

    @property
    def _succeeded(self) -> int:
        return sum(count for status, count in self.statuses.items() if 200 <= status < 300)


class _Connection(asyncio.Protocol):
    """Sends its requests in turn, starting anew after the last; counts until told to stop."""

    def __init__(self, requests: Sequence[bytes], first: int, until: float) -> None:
        self._requests, self._next, self._until = requests, first, until
        self._buffer, self._sent = b"", 0.0
        self.statuses: Counter[int] = Counter()
        self.latencies_ms: list[float] = []
        self.ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        if isinstance(transport, asyncio.WriteTransport):
            self._transport = transport
            self._send()

    def data_received(self, data: bytes) -> None:
        """Count an answer once it is whole, and send the next request."""
        self._buffer += data
        answer = parse_answer(self._buffer)
        if answer is None:
            return
        self._buffer = b""
        self.statuses[answer.status] += 1
        self.latencies_ms.append(1000 * (time.perf_counter() - self._sent))
        if time.perf_counter() < self._until:
            self._send()
        else:
            self.finish(is_whole=True)
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """Note a connection that the server ended."""
        self.finish(is_whole=False)

    def finish(self, *, is_whole: bool) -> None:
        """Take no part in the load any more."""
        if not self.ended.done():
            self.ended.set_result(is_whole)

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._requests[self._next % len(self._requests)])
        self._next += 1


async def run(target: Target, connections: int, seconds: float) -> Result:
    """Put a closed-loop load on a target.

    Args:
        target: Its bodies are sent in turn; each connection starts at another one.
        connections: How many send at a time.
        seconds: For how long; answers under way at the end are waited for.
    """
    host, port = address(target.url)
    requests = [post(target.url, body, target.content_type, target.headers) for body in target.bodies]
    loop, started = asyncio.get_running_loop(), time.perf_counter()
    made = [_Connection(requests, index, started + seconds) for index in range(connections)]

    async def connect(connection: _Connection) -> None:
        """Open one connection; it sends its first request at once."""
        try:
            await loop.create_connection(lambda: connection, host, port)
        except OSError:
            connection.finish(is_whole=False)

    await asyncio.gather(*map(connect, made))
    whole = await asyncio.gather(*(connection.ended for connection in made))
    return Result(
        connections,
        sum((connection.statuses for connection in made), Counter()),
        sorted(latency for connection in made for latency in connection.latencies_ms),
        time.perf_counter() - started,
        whole.count(False),
    )
