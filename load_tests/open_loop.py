"""Open-loop HTTP load: requests are due at scheduled times, whatever the server does.

Latency counts from the scheduled time, so a slow server is charged for the requests it keeps from being sent (no
coordinated omission: G. Tene, "How NOT to Measure Latency", 2013). Event loops have timers of 1 ms; that lateness, of
the generator alone, is reported beside the result.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from load_tests.arrivals import Phase, seconds_of
from load_tests.http_wire import address, parse_answer, post
from load_tests.points import OpenPoint, quantile
from load_tests.target import Target

REFUSALS = frozenset({408, 429, 503, 504})  # 408 is Ray Serve's own for the header below
TIMEOUT_HEADER = "x-request-timeout-seconds"
_TIMER_STEP_S = 0.0005  # uvloop rounds to milliseconds; without this it would wake too early and spin


@dataclass(frozen=True, slots=True)
class OpenLoad:
    """What to put on a target.

    Attributes:
        phases: Rates over time.
        seed: Of the arrival times.
        slo_ms: An answer later than this is not in time.
        connections: Most keep-alive connections; they are opened as needed. A request that finds none waits for one.
        grace_s: How long after the last phase answers are waited for.
    """

    target: Target
    phases: tuple[Phase, ...]
    seed: int = 1
    slo_ms: float = 50.0
    connections: int = 512
    grace_s: float = 3.0


@dataclass(slots=True)
class OpenResult:
    """What became of an open-loop load.

    Attributes:
        offered: Requests that were due.
        statuses: How many answers had each HTTP status.
        success_ms: Latencies of answers with 200, from the scheduled time.
        refusal_ms: Latencies of answers with 408, 429, 503 or 504, from the scheduled time.
        broken: Requests whose connection ended, or could not be opened.
        unanswered: Requests without an answer at the end.
        late_ms: For each request, how long after its scheduled time the generator came to it.
    """

    offered: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    success_ms: list[float] = field(default_factory=list)
    refusal_ms: list[float] = field(default_factory=list)
    broken: int = 0
    unanswered: int = 0
    late_ms: list[float] = field(default_factory=list)

    def point(self, load: OpenLoad) -> OpenPoint:
        """The figures for a report."""
        seconds, success_ms, refusal_ms = seconds_of(load.phases), sorted(self.success_ms), sorted(self.refusal_ms)
        in_time = sum(latency <= load.slo_ms for latency in success_ms)
        return OpenPoint(
            offered_per_s=self.offered / seconds,
            goodput_per_s=in_time / seconds,
            in_time_share=in_time / self.offered if self.offered else 1.0,
            p50_ms=quantile(success_ms, 0.5),
            p99_ms=quantile(success_ms, 0.99),
            refused_per_s=len(refusal_ms) / seconds,
            refused_p50_ms=quantile(refusal_ms, 0.5),
            refused_p99_ms=quantile(refusal_ms, 0.99),
            failed=self.statuses.total() - len(success_ms) - len(refusal_ms) + self.broken + self.unanswered,
            late_p99_ms=quantile(sorted(self.late_ms), 0.99),
        )


def with_deadline(target: Target, slo_ms: float) -> Target:
    """The target with a header that tells its server how long an answer is of use, as KServe and Triton name it."""
    return replace(target, headers=(*target.headers, (TIMEOUT_HEADER, f"{slo_ms / 1000:g}")))


def merged(results: Sequence[OpenResult]) -> OpenResult:
    """The results of several generators that shared one schedule."""
    return OpenResult(
        sum(result.offered for result in results),
        sum((result.statuses for result in results), Counter()),
        [latency for result in results for latency in result.success_ms],
        [latency for result in results for latency in result.refusal_ms],
        sum(result.broken for result in results),
        sum(result.unanswered for result in results),
        [late for result in results for late in result.late_ms],
    )


async def generate(load: OpenLoad, due_s: Sequence[float], start: float) -> OpenResult:
    """Send a request at each of the due times, and wait for the answers.

    Args:
        load: Its phases only say when the answers' grace begins.
        due_s: Seconds after `start`, in order.
        start: A value of `time.perf_counter`.
    """
    generator = _Generator(load, due_s, start)
    ends = start + seconds_of(load.phases) + load.grace_s
    try:
        async with asyncio.timeout(max(0.0, ends - time.perf_counter())):
            await generator.run()
    except TimeoutError:
        pass  # what is not answered by now is counted as such
    return generator.close()


class _Connection(asyncio.Protocol):
    """Carries one request at a time; `due` is that of the one under way."""

    __slots__ = ("_buffer", "_generator", "due", "transport")

    transport: asyncio.WriteTransport

    def __init__(self, generator: _Generator) -> None:
        self._generator, self._buffer = generator, b""
        self.due: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a waiting request, or wait for one."""
        self.transport = cast(asyncio.WriteTransport, transport)  # uvloop's does not inherit from asyncio's
        self._generator.is_free(self)

    def data_received(self, data: bytes) -> None:
        """Count an answer once it is whole."""
        if self._buffer:
            data = self._buffer + data
        answer = parse_answer(data)
        if answer is None or self.due is None:
            self._buffer = data
            return
        self._buffer, due, self.due = b"", self.due, None
        self._generator.answered(due, answer.status)
        if answer.keeps_alive:
            self._generator.is_free(self)
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """Tell whose connection is gone."""
        self._generator.lost(self)


class _Generator:
    """One event loop's share of a load."""

    def __init__(self, load: OpenLoad, due_s: Sequence[float], start: float) -> None:
        target = load.target
        self._requests = [post(target.url, body, target.content_type, target.headers) for body in target.bodies]
        self._due = [start + due for due in due_s]
        self._limit = load.connections
        self._result = OpenResult(offered=len(self._due))
        self._next = 0
        self._address = address(target.url)
        self._idle: list[_Connection] = []  # the last one used goes first, so that a light load uses few
        self._all: set[_Connection] = set()
        self._waiting: deque[int] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._outstanding = len(self._due)
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()

    async def run(self) -> None:
        """Send everything and wait for the last answer."""
        if self._due:
            self._send_due()
            await self._done.wait()

    def close(self) -> OpenResult:
        """Drop what is under way and give the result."""
        self._is_closed = True
        self._result.unanswered = self._outstanding
        for task in self._opening:
            task.cancel()
        for connection in self._all:
            connection.transport.abort()
        return self._result

    def is_free(self, connection: _Connection) -> None:
        """A connection was opened, or has its answer."""
        self._all.add(connection)
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def answered(self, due: float, status: int) -> None:
        """Count one answer."""
        latency_ms = 1000 * (time.perf_counter() - due)
        self._result.statuses[status] += 1
        if status == 200:
            self._result.success_ms.append(latency_ms)
        elif status in REFUSALS:
            self._result.refusal_ms.append(latency_ms)
        self._settle()

    def lost(self, connection: _Connection) -> None:
        """A connection ended; a request on it is broken."""
        self._all.discard(connection)
        if self._is_closed:
            return
        if connection in self._idle:
            self._idle.remove(connection)
        if connection.due is not None:
            self._result.broken += 1
            self._settle()
        self._open()

    def _send_due(self) -> None:
        if self._is_closed:
            return
        while self._next < len(self._due):
            now, due = time.perf_counter(), self._due[self._next]
            if due > now:
                self._loop.call_later(due - now + _TIMER_STEP_S, self._send_due)
                return
            self._result.late_ms.append(1000 * (now - due))
            if self._idle:
                self._send(self._idle.pop(), self._next)
            else:
                self._waiting.append(self._next)
                self._open()
            self._next += 1

    def _send(self, connection: _Connection, index: int) -> None:
        connection.due = self._due[index]
        connection.transport.write(self._requests[index % len(self._requests)])

    def _open(self) -> None:
        """Open a connection if a request waits for which none is being opened yet, and the limit allows it."""
        if len(self._waiting) > len(self._opening) and len(self._all) + len(self._opening) < self._limit:
            task = self._loop.create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if not self._is_closed:
            self._open()

    async def _connect(self) -> None:
        try:
            await self._loop.create_connection(lambda: _Connection(self), *self._address)
        except OSError:
            if self._waiting:
                self._waiting.popleft()
                self._result.broken += 1
                self._settle()

    def _settle(self) -> None:
        self._outstanding -= 1
        if not self._outstanding:
            self._done.set()
