"""An open loop of one-row requests in a thread of its own, which accounts for every request that was due.

Latency counts from when a request was due. A request is sent once: a connection that breaks under it is a failure, as
it is for a client that does not try again.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import orjson

from load_tests.arrivals import Phase, arrivals_s
from load_tests.http_wire import address, parse_answer, post
from load_tests.releases.outcomes import Outcome

MOST_SECONDS = 1800.0
NICENESS = -10
GRACE_S = 35.0  # an answer may take as long as the gateway's own limit
_GATEWAY_CHARACTERS = 12  # of a request id that a gateway replica gives; the Serve proxy gives ids of its own


@dataclass(frozen=True, slots=True)
class Sending:
    """What is sent.

    Attributes:
        url: Of the infer route.
        bodies: One for each held-out row; sent in turn.
        rate_per_s: Of Poisson arrivals.
        users: Names that the requests have in turn, in the header `x-user`.
        most: After so many requests no more are due.
        keeps_alive: Whether a connection is used again; a new one each reaches every process behind an address.
        seed: Of the arrivals.
    """

    url: str
    bodies: Sequence[bytes]
    rate_per_s: float
    users: Sequence[str] = ()
    most: int | None = None
    keeps_alive: bool = True
    seed: int = 1


@dataclass(slots=True)
class Load:
    """A load under way, or over.

    Attributes:
        due: Requests that were due so far.
        outcomes: Of those that ended; all that were due once the load is over.
    """

    due: int = 0
    outcomes: list[Outcome] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def is_exact(self) -> bool:
        """Whether each request that was due has one outcome."""
        return self.due == len(self.outcomes)

    def wait(self, seconds: float) -> None:
        """Let the load go on for so long."""
        self._stop.wait(seconds)

    def stop(self) -> None:
        """Have no more requests be due."""
        self._stop.set()

    @property
    def is_stopped(self) -> bool:
        """Whether no more requests are due."""
        return self._stop.is_set()


@contextmanager
def under_load(sending: Sending) -> Iterator[Load]:
    """Send until the block ends; then every request that was due has its outcome."""
    load = Load()
    thread = threading.Thread(target=_send, args=(sending, load), name="load", daemon=True)
    thread.start()
    try:
        yield load
    finally:
        load.stop()
        thread.join()


def _send(sending: Sending, load: Load) -> None:
    """Send, where the system allows it ahead of what is measured: clients are on machines of their own."""
    with suppress(OSError, AttributeError):  # not on this system, or not for this user
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)  # of this thread alone
    asyncio.run(_Sender(sending, load).run())


def all_of(sending: Sending) -> Load:
    """Send as many as `sending.most` says; gives the load when all of them ended."""
    load = Load()
    asyncio.run(_Sender(sending, load).run())
    return load


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.keeps_alive = True

    @property
    def is_usable(self) -> bool:
        return self.keeps_alive and not self.reader.at_eof() and not self.writer.is_closing()

    async def exchange(self, request: bytes) -> tuple[bytes, bytes]:
        """Head and body of the answer.

        Raises:
            ConnectionError: It ended before the answer did.
        """
        self.writer.write(request)
        data = b""
        while (answer := parse_answer(data)) is None:
            if not (more := await self.reader.read(65536)):
                raise ConnectionResetError(f"closed after {len(data)} bytes of an answer")
            data += more
        self.keeps_alive = answer.keeps_alive
        return data[: data.find(b"\r\n\r\n")], answer.body


class _Sender:
    def __init__(self, sending: Sending, load: Load) -> None:
        self._sending, self._load = sending, load
        self._idle: list[_Connection] = []  # the last one used goes first, so that a light load uses few
        self._all: list[_Connection] = []
        self._address = address(sending.url)
        users = sending.users or ("",)
        self._requests = {
            (row, user): post(sending.url, body, headers=(("x-user", user),) if user else ())
            for user in users
            for row, body in enumerate(sending.bodies)
        }

    async def run(self) -> None:
        tasks: set[asyncio.Task[None]] = set()
        users = itertools.cycle(self._sending.users or ("",))
        begin = time.perf_counter()
        for number, due in enumerate(self._due_s(), 0):
            await asyncio.sleep(max(0.0, begin + due - time.perf_counter()))
            if self._load.is_stopped:
                break
            self._load.due += 1
            task = asyncio.create_task(self._send(begin + due, number % len(self._sending.bodies), next(users)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=GRACE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for connection in self._all:
            connection.writer.close()
        await asyncio.gather(*(connection.writer.wait_closed() for connection in self._all), return_exceptions=True)

    def _due_s(self) -> Iterator[float]:
        due = arrivals_s((Phase(self._sending.rate_per_s, MOST_SECONDS),), self._sending.seed)
        return itertools.islice((float(one) for one in due), self._sending.most)

    async def _send(self, due_s: float, row: int, user: str) -> None:
        status, head, body, fault = 0, b"", b"", "no answer"
        try:
            connection = await self._connection()
            head, body = await connection.exchange(self._requests[row, user])
            status = int(head[9:12])
            fault = "" if status == 200 else f"{status} {body[:200].decode(errors='replace')}"
            if self._sending.keeps_alive and connection.is_usable:
                self._idle.append(connection)
            else:
                connection.writer.close()
        except (OSError, ValueError) as error:
            status, fault = 0, f"{type(error).__name__}: {error}"
        finally:  # also where it is cancelled for want of an answer
            latency_ms = 1000 * (time.perf_counter() - due_s)
            said = _said(head, body) if status == 200 else ("", None)
            gateway = header(head, b"x-request-id")[:_GATEWAY_CHARACTERS]
            self._load.outcomes.append(Outcome(due_s, row, latency_ms, status, *said, gateway, user, fault))

    async def _connection(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
            connection.writer.close()
        connection = _Connection(*await asyncio.open_connection(*self._address))
        self._all.append(connection)
        return connection


def header(head: bytes, name: bytes) -> str:
    """The value of a header of an answer; empty if it has none."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip().decode(errors="replace")
    return ""


def _said(head: bytes, body: bytes) -> tuple[str, int | None]:
    """The version by its header and the label by the body."""
    label = None
    with suppress(orjson.JSONDecodeError, LookupError, TypeError, ValueError):
        (label,) = (int(one["data"][0]) for one in orjson.loads(body)["outputs"] if one["name"] == "label")
    return header(head, b"x-model-version"), label
