"""The calls of a release that are under way: when they will be answered, learned from those before."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from itertools import islice
from typing import Generic, TypeVar

from serve_app.batching.latency import LatencyModel
from serve_app.types import Block, BlockReply

Member = TypeVar("Member")

TRAVELS = (
    8  # calls whose shortest way counts: a longer one was held up, and what is told too little time is not executed
)


@dataclass(slots=True, eq=False)
class Flight(Generic[Member]):
    """A call under way.

    Attributes:
        members: Whose rows it carries.
        begun: Clock reading from which on it is executed; None while those before it are.
        executed: Rows that were, once it is answered.
    """

    members: list[Member]
    rows: int
    begun: float | None = None
    executed: int = 0


class Flights(Generic[Member]):
    """Calls in the order in which they left: the oldest are executed, as many as there are slots, the others wait.

    What a call takes is counted from the end of the one before it, if it was there by then: this is what each call adds
    to the wait of those behind it, with all that its way takes from them and whoever else calls the same replicas.

    Args:
        slots: Calls that are executed at a time.
        latency: Seconds that a call takes, by its rows, as far as that is known; it learns from there on.
        clock: Seconds from any origin, monotonic.

    Attributes:
        rows: Of all that are under way.
    """

    def __init__(
        self, slots: int = 1, latency: LatencyModel | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._latency, self.clock = latency or LatencyModel(), clock
        self._slots, self._free_at = slots, 0.0
        self._under_way: dict[asyncio.Task[None], Flight[Member]] = {}
        self._travels_s = deque([0.0], TRAVELS)
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
                inside_s = max(inside_s, times.queue_s + times.batch_s + times.compute_s)
                flight.executed += entry.rows if times.batch_rows else 0
        self._travels_s.append(max(0.0, took_s - inside_s))

    def land(self, task: asyncio.Task[None]) -> None:
        """A call is over."""
        flight = self._under_way.pop(task)
        self.rows -= flight.rows
        if flight.executed and flight.begun is not None:
            self._latency.observe(flight.executed, self.clock() - flight.begun)
        self._look_ahead()

    def forecast_s(self, rows: int, calls: int) -> float:
        """Seconds until calls with so many rows in all are answered that leave next, usually."""
        waits_s = 0.0 if len(self) < self._slots else abs(self._free_at - self.clock())
        return waits_s + -(-calls // self._slots) * self.usual_s(-(-rows // calls))

    def usual_s(self, rows: int) -> float:
        """Seconds that a call of so many rows adds to the wait of those behind it, usually; 0 if nothing is known."""
        return self._latency.usual_s(rows)

    def _look_ahead(self) -> None:
        """Which calls are executed by now, and when the next one could be."""
        flights = self._under_way.values()
        ends: list[float] = []
        for flight in islice(flights, self._slots):
            if flight.begun is None:
                flight.begun = self.clock()
            ends.append(flight.begun + self.usual_s(flight.rows))
        heapify(ends)
        for flight in islice(flights, self._slots, None):
            heapreplace(ends, ends[0] + self.usual_s(flight.rows))
        self._free_at = ends[0] if ends else 0.0
