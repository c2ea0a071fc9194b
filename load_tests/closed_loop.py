"""Closed-loop HTTP load: each of n keep-alive connections sends its next request when the last is answered.

A raw asyncio protocol, because a full HTTP client would need more CPU than the server under test.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Result:
    """One point of load.

    Attributes:
        statuses: How many answers had each HTTP status.
        latencies_ms: Of every answer, sorted.
        seconds: Time the load took.
        broken: Connections that ended before they should.
    """

    connections: int
    statuses: Counter[int]
    latencies_ms: Sequence[float]
    seconds: float
    broken: int

    @property
    def requests_per_s(self) -> float:
        """Answers with status 200 in a second."""
        return self.statuses[200] / self.seconds

    @property
    def failed(self) -> int:
        """Answers with any other status, and broken connections."""
        return sum(self.statuses.values()) - self.statuses[200] + self.broken

    def quantile_ms(self, share: float) -> float:
        """Latency that a share of the answers stayed under; 0 if there were none."""
        if not self.latencies_ms:
            return 0.0
        return self.latencies_ms[min(len(self.latencies_ms) - 1, int(share * len(self.latencies_ms)))]

    @property
    def median_ms(self) -> float:
        """Median latency; 0 if there were no answers."""
        return statistics.median(self.latencies_ms) if self.latencies_ms else 0.0


def post(url: str, body: bytes) -> bytes:
    """The bytes of a keep-alive POST of a JSON body."""
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


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
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            self._send()

    def data_received(self, data: bytes) -> None:
        """Count an answer once it is whole, and send the next request."""
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator or len(rest) < _content_length(head):
            return
        self._buffer = b""
        self.statuses[int(head[9:12])] += 1
        self.latencies_ms.append(1000 * (time.perf_counter() - self._sent))
        if time.perf_counter() < self._until:
            self._send()
        else:
            self._finish(is_whole=True)

    def connection_lost(self, error: Exception | None) -> None:
        """Note a connection that the server ended."""
        self._finish(is_whole=False)

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._requests[self._next % len(self._requests)])
        self._next += 1

    def _finish(self, *, is_whole: bool) -> None:
        if not self.ended.done():
            self.ended.set_result(is_whole)
            self._transport.close()


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def run(url: str, bodies: Sequence[bytes], connections: int, seconds: float) -> Result:
    """Put a closed-loop load on a URL.

    Args:
        url: Where every body is posted.
        bodies: JSON bodies, sent in turn; each connection starts at another one.
        connections: How many send at a time.
        seconds: For how long; answers under way at the end are waited for.
    """
    parts = urlsplit(url)
    requests = [post(url, body) for body in bodies]
    loop, started = asyncio.get_running_loop(), time.perf_counter()
    made = [_Connection(requests, index, started + seconds) for index in range(connections)]

    async def connect(connection: _Connection) -> None:
        """Open one connection; it sends its first request at once."""
        await loop.create_connection(lambda: connection, parts.hostname or "127.0.0.1", parts.port or 80)

    await asyncio.gather(*map(connect, made))
    whole = await asyncio.gather(*(connection.ended for connection in made))
    return Result(
        connections,
        sum((connection.statuses for connection in made), Counter()),
        sorted(latency for connection in made for latency in connection.latencies_ms),
        time.perf_counter() - started,
        whole.count(False),
    )
