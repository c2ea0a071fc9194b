"""The calls of a release that are under way: when they will be answered, learned from those before."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from itertools import islice
from typing import Generic, TypeVar

from serve_app.batching.latency import LatencyModel
from serve_app.types import Block, BlockReply

Member = TypeVar("Member")

TRAVELS = 8  # calls whose shortest way counts: a longer one was held up, and who is told too little time is refused
QUICK_S = 0.005  # a call that is executed within it may be several times what a replica executes at once
STUCK = 4  # times what it usually takes, after which a call says nothing about when the next ones are answered


@dataclass(slots=True, eq=False)
class Flight(Generic[Member]):
    """A call under way.

    Attributes:
        members: Whose rows it carries.
        begun: Clock reading from which on it is executed; None while those before it are.
        executed: Rows that were, once it is answered.
        batch_rows: Rows of the largest batch that they were in, with those of other calls.
        computed_s: Seconds that the longest of its batches took.
    """

    members: list[Member]
    rows: int
    begun: float | None = None
    executed: int = 0
    batch_rows: int = 0
    computed_s: float = 0.0


class Flights(Generic[Member]):
    """Calls in the order in which they left: the oldest are executed, as many as there are slots, the others wait.

    What a call takes is counted from the end of the one before it, if it was there by then: this is what each call adds
    to the wait of those behind it, with all that its way takes from them and whoever else calls the same replicas.

    Args:
        slots: Calls that are executed at a time.
        latency: Seconds that a call takes, by its rows, as far as that is known; from there on it is learned, and
            what executions take apart from it.
        clock: Seconds from any origin, monotonic.

    Attributes:
        rows: Of all that are under way.
    """

    def __init__(
        self, slots: int = 1, latency: LatencyModel | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._latency, self.clock = latency or LatencyModel(), clock
        self._executions = LatencyModel(self._latency.usual_by_rows())
        self._slots = slots
        self._ends: list[tuple[float, float]] = []  # of what is executed: from when, and until when usually
        self._behind: list[float] = []  # what those take that wait for that
        self._under_way: dict[asyncio.Task[None], Flight[Member]] = {}
        self._travels_s = deque([0.0], TRAVELS)
        # What was said since it was learned last: of so many rows, and how many go in a call where so many go at once.
        self._said_s, self._said_rows = dict[int, float](), dict[int, int]()
        self.rows = 0

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._under_way)

    def __iter__(self) -> Iterator[tuple[asyncio.Task[None], Flight[Member]]]:
        """Those that are under way now."""
        return iter(list(self._under_way.items()))

    @property
    def slots(self) -> int:
        """Calls that are executed at a time."""
        return self._slots

    @slots.setter
    def slots(self, slots: int) -> None:
        """Change it."""
        self._slots = slots
        self._look_ahead()

    @property
    def way_s(self) -> float:
        """Seconds that a call takes on its way there and back, at least."""
        return min(self._travels_s)

    def start(self, task: asyncio.Task[None], flight: Flight[Member]) -> None:
        """A call has left."""
        if (
            len(self) < self._slots
        ):  # executed at once; its way is no part of what it adds to the wait of those behind it
            flight.begun = self.clock() + self.way_s
        self._under_way[task] = flight
        self.rows += flight.rows
        self._look_ahead()

    def answered(
        self, flight: Flight[Member], took_s: float, blocks: Sequence[Block], replies: Sequence[BlockReply]
    ) -> None:
        """Learn from a call that is about to land: how many rows were executed, and how long its way was."""
        inside_s = 0.0
        for block, reply in zip(blocks, replies, strict=True):
            for entry, result in zip(block.entries, reply.results, strict=True):
                times = result.timings  # what was refused has none: all of such a call was its way
                if times.batch_rows:
                    flight.executed += entry.rows
                    flight.batch_rows = max(flight.batch_rows, times.batch_rows)
                    flight.computed_s = max(flight.computed_s, times.batch_s + times.compute_s)
                inside_s = max(inside_s, times.queue_s + times.batch_s + times.compute_s)
        self._travels_s.append(max(0.0, took_s - inside_s))
        if flight.batch_rows:
            self._executions.observe(flight.batch_rows, flight.computed_s)
            self._said_rows.clear()

    def land(self, task: asyncio.Task[None]) -> None:
        """A call is over."""
        flight = self._under_way.pop(task)
        self.rows -= flight.rows
        if flight.executed and flight.begun is not None:
            took_s = self.clock() - flight.begun
            shared = flight.batch_rows > flight.executed
            if not shared or took_s >= flight.computed_s:  # else it came with the one before it, in the same batch
                self._latency.observe(max(flight.executed, flight.batch_rows), took_s)
                self._said_s.clear()
        self._look_ahead()

    def forecast_s(self, rows: int, calls: int = 0, call_rows: int = 1) -> float:
        """Seconds until a call is answered that leaves next but some, usually.

        Args:
            rows: Of the call.
            calls: That leave before it.
            call_rows: Of each of these.
        """
        waits_s = self._waits_s()
        turns = calls // len(waits_s)
        return waits_s[0] + (turns * self.usual_s(call_rows) if turns else 0.0) + self.usual_s(rows)

    def rows_of_call(self, rows: int, at_once: int) -> int:
        """How many of so many rows go in a call: what is executed at once, or several times that if it is quick."""
        if rows <= at_once:
            return rows
        most = self._said_rows.get(at_once)
        if most is None:
            execution_s = self._executions.usual_s(at_once)
            most = at_once * max(1, int(QUICK_S / execution_s)) if execution_s else at_once
            self._said_rows[at_once] = most
        return min(rows, most)

    def usual_s(self, rows: int) -> float:
        """Seconds that a call of so many rows adds to the wait of those behind it, usually; 0 if nothing is known."""
        said_s = self._said_s.get(rows)
        if said_s is None:
            said_s = self._said_s[rows] = self._latency.usual_s(rows)
        return said_s

    def _waits_s(self) -> list[float]:
        """Seconds until each slot could execute another call, the shortest first; without those that are stuck."""
        if len(self._under_way) < self._slots:
            return [0.0] * self._slots
        now = self.clock()
        waits_s = [abs(end - now) for begun, end in self._ends if now - begun < STUCK * (end - begun)]
        waits_s = waits_s or [abs(end - now) for _, end in self._ends]
        heapify(waits_s)
        for usual_s in self._behind:
            heapreplace(waits_s, waits_s[0] + usual_s)
        return waits_s

    def _look_ahead(self) -> None:
        """Which calls are executed by now, and which wait for that."""
        flights = self._under_way.values()
        self._ends.clear()
        for flight in islice(flights, self._slots):
            if flight.begun is None:
                flight.begun = self.clock()
            self._ends.append((flight.begun, flight.begun + self.usual_s(flight.rows)))
        self._behind = [self.usual_s(flight.rows) for flight in islice(flights, self._slots, None)]


def call_seconds(profile_s: Mapping[int, float], max_rows: int, instances: int = 1) -> dict[int, float]:
    """What a call usually takes by its rows, as far as executions were measured.

    Args:
        profile_s: Seconds of one execution by its rows.
        max_rows: Most rows of an execution.
        instances: Executions at a time.

    Returns:
        Seconds; twice what is executed at once takes twice as long, so that more is on that line and not on the
        profile's, which knows of one execution only.
    """
    at_once, batch_s = max_rows * instances, LatencyModel(profile_s).usual_s(max_rows)
    return {**profile_s, at_once: batch_s, 2 * at_once: 2 * batch_s}
