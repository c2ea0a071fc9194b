"""Turns single requests into blocks, so that many of them cost one call to a release replica.

While as many calls are in flight as there are slots, requests collect; when a slot is free, all that wait go as one
block. There is no timer: on an idle system a request leaves in the same turn of the event loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from serve_app.batching.job import Shapes, join, shapes_of
from serve_app.errors import DeadlineExceeded, Overloaded, ReplicaLost
from serve_app.types import Block, BlockEntry, BlockReply, EntryResult, InferenceRequest, Tensors, nbytes_of

Send = Callable[[Block], Awaitable[BlockReply]]
"""Carries one block to a replica of the release and its reply back; raises `ReplicaLost` if the replica died."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may collect.

    Attributes:
        queue_rows: Most rows that wait; more is refused with `Overloaded`.
        block_bytes: A block takes no further request that would make it bigger; a larger request travels alone.
    """

    queue_rows: int = 4096
    block_bytes: int = 2**20


DEFAULT_BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Coalesced:
    """One request's share of a block's reply: its own rows, the replica's timings, and its wait for a slot (s)."""

    outputs: Tensors
    result: EntryResult
    queued_s: float


@dataclass(slots=True, eq=False)
class _Waiting:
    """A request in the queue or in flight."""

    request: InferenceRequest
    rows: int
    nbytes: int
    shapes: Shapes
    since: float
    timeout_s: float
    answer: asyncio.Future[Coalesced]
    timer: asyncio.TimerHandle | None = None


class Coalescer:
    """The queue of one release in one gateway.

    Args:
        send: Carries a block to the release.
        release: Name for errors.
        bounds: Of the queue and of a block.
        ragged: Whether requests may differ in axes beyond 0, so that only like shapes share a block.
        slots: Calls in flight at a time.
        on_lost: Told the release's name when a call lost its replica, before the next call starts.
    """

    def __init__(
        self,
        send: Send,
        *,
        release: str = "model",
        bounds: Bounds = DEFAULT_BOUNDS,
        ragged: bool = True,
        slots: int = 1,
        on_lost: Callable[[str], None] = lambda release: None,
    ) -> None:
        self._send, self._release = send, release
        self._bounds, self._ragged = bounds, ragged
        self._slots, self._on_lost = slots, on_lost
        self._queue: OrderedDict[_Waiting, None] = OrderedDict()  # a set with an order: any member leaves in O(1)
        self._queued_rows = 0
        self._flights: dict[asyncio.Task[None], list[_Waiting]] = {}
        self._pump_is_due = False
        # A block serves many requests, so it must not run in the context (trace, request id) of the one that woke it.
        self._context = contextvars.copy_context()

    @property
    def slots(self) -> int:
        """Calls in flight at a time."""
        return self._slots

    @slots.setter
    def slots(self, slots: int) -> None:
        """Change it; more slots send at once what waits."""
        self._slots = slots
        self._pump_soon()

    @property
    def is_idle(self) -> bool:
        """Whether no request waits or is in flight."""
        return not self._queue and not self._flights

    @property
    def queued_rows(self) -> int:
        """Rows that wait for a slot."""
        return self._queued_rows

    async def submit(self, request: InferenceRequest, timeout_s: float) -> Coalesced:
        """Answer one validated request.

        Args:
            request: Its tensors fit the release's signature.
            timeout_s: Seconds from now after which the caller is told `DeadlineExceeded`.

        Raises:
            Overloaded: The queue is full; nothing was queued.
            ReplicaLost: The replica died with the request, which may be repeated.
            DeadlineExceeded: No answer in time; a request that had not left is not executed.
            ServeAppError: What the release says about this request.
        """
        waiting = self._enqueue(request, timeout_s)
        try:
            return await waiting.answer
        finally:
            self._leave_queue(waiting)
            if waiting.timer is not None:
                waiting.timer.cancel()

    def _enqueue(self, request: InferenceRequest, timeout_s: float) -> _Waiting:
        rows = request.rows
        if self._queued_rows + rows > self._bounds.queue_rows:
            raise Overloaded(self._release, self._bounds.queue_rows)
        loop = asyncio.get_running_loop()
        shapes = shapes_of(request.inputs) if self._ragged else ()
        now, answer = time.perf_counter(), loop.create_future()
        waiting = _Waiting(request, rows, nbytes_of(request.inputs), shapes, now, timeout_s, answer)
        waiting.timer = loop.call_later(timeout_s, self._expire, waiting)
        self._queue[waiting] = None
        self._queued_rows += rows
        self._pump_soon()
        return waiting

    def _expire(self, waiting: _Waiting) -> None:
        self._leave_queue(waiting)
        if not waiting.answer.done():
            waiting.answer.set_exception(DeadlineExceeded(self._release, round(waiting.timeout_s, 3)))

    def abandon_flights(self, error: Exception) -> None:
        """Tell every request in flight `error` and stop waiting for its answer."""
        for members in self._flights.values():
            _fail(members, error)
        for flight in list(self._flights):
            flight.cancel()

    def refuse_waiting(self, error: Exception) -> None:
        """Tell every request that waits for a slot `error`; those in flight are not concerned."""
        waiting = list(self._queue)
        for member in waiting:
            self._leave_queue(member)
        _fail(waiting, error)

    def _leave_queue(self, waiting: _Waiting) -> None:
        if waiting in self._queue:
            del self._queue[waiting]
            self._queued_rows -= waiting.rows

    def _pump_soon(self) -> None:
        """Send in the next turn of the loop, so that requests of this turn share a block."""
        if self._queue and not self._pump_is_due and len(self._flights) < self._slots:
            self._pump_is_due = True
            asyncio.get_running_loop().call_soon(self._pump, context=self._context)

    def _pump(self) -> None:
        self._pump_is_due = False
        while len(self._flights) < self._slots and (members := self._take()):
            flight = asyncio.get_running_loop().create_task(self._fly(members))
            self._flights[flight] = members
            flight.add_done_callback(self._landed)

    def _landed(self, flight: asyncio.Task[None]) -> None:
        del self._flights[flight]
        self._pump()

    def _take(self) -> list[_Waiting]:
        """Remove the next block's requests: from the head on, all with its shapes, within the block's bytes."""
        members: list[_Waiting] = []
        nbytes = 0
        for waiting in self._queue:
            if members and nbytes + waiting.nbytes > self._bounds.block_bytes:
                break
            if not members or waiting.shapes == members[0].shapes:
                members.append(waiting)
                nbytes += waiting.nbytes
        for waiting in members:
            self._leave_queue(waiting)
        return members

    async def _fly(self, members: list[_Waiting]) -> None:
        sent = time.perf_counter()
        try:
            block = self._block(members)
            reply = await self._send(block)
            for waiting, (outputs, result) in zip(members, reply.per_entry(block), strict=True):
                if waiting.answer.done():
                    continue
                if outputs is None:
                    waiting.answer.set_exception(result.error or ReplicaLost(self._release))
                else:
                    waiting.answer.set_result(Coalesced(outputs, result, sent - waiting.since))
        except Exception as error:  # every request of the block must hear what happened to it
            _fail(members, error)
            if isinstance(error, ReplicaLost):
                self._on_lost(self._release)

    def _block(self, members: list[_Waiting]) -> Block:
        now = time.perf_counter()
        entries = tuple(
            BlockEntry(
                waiting.rows,
                waiting.request.request_id,
                max(0.0, waiting.timeout_s - (now - waiting.since)),
                waiting.request.parameters,
            )
            for waiting in members
        )
        return Block(join([waiting.request.inputs for waiting in members]), entries)


def _fail(members: list[_Waiting], error: Exception) -> None:
    for waiting in members:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
