"""Turns single requests into blocks, so that many of them cost one call to a release replica.

While as many calls are in flight as there are slots, requests collect; when one is free, what waits goes in one call,
no more of it than the release executes at once. Another one may travel ahead, so that the release has work while an
answer is on its way, but only once it carries as many rows as those in flight: smaller ones cost more than they gain
(figures are in docs/benchmarks.md). There is no
timer: on an idle system a request leaves in the same turn of the event loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from serve_app.batching.expiry import Expiry
from serve_app.batching.fairness import Turns, crowding_out
from serve_app.batching.flights import Flight, Flights
from serve_app.batching.job import Shapes, shapes_of
from serve_app.batching.joined import joined, outputs_wanted
from serve_app.errors import DeadlineExceeded, DeadlineUnreachable, Overloaded, ReplicaLost
from serve_app.types import Block, BlockEntry, BlockReply, EntryResult, InferenceRequest, Tensors, nbytes_of

Send = Callable[[tuple[Block, ...]], Awaitable[tuple[BlockReply, ...]]]
"""Carries blocks to a replica of the release and their replies back; raises `ReplicaLost` if the replica died."""

HEADROOM = 0.6  # of the time a request allows, for a forecast that is right half of the time
SENDER = secrets.token_hex(4)  # this gateway replica, for the backlog that a release adds up


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may collect, and leave.

    Attributes:
        queue_rows: Most rows that wait; more is refused with `Overloaded`.
        call_rows: A call that is not quick takes no further request that would make it longer; a larger request travels
            alone.
        call_bytes: The same, of the bytes of its tensors.
        calls_ahead: Calls for each slot that may leave before those in flight are answered, if they are as big.
    """

    queue_rows: int = 4096
    call_rows: int = 4096
    call_bytes: int = 2**22
    calls_ahead: int = 0


DEFAULT_BOUNDS = Bounds()


@dataclass(slots=True)
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
    tenant: str
    priority: int
    since: float
    deadline: float
    answer: asyncio.Future[Coalesced]
    tick: int = 0


class Coalescer:
    """The queue of one release in one gateway.

    Args:
        send: Carries blocks to the release.
        release: Name for errors.
        bounds: Of the queue and of a call.
        ragged: Whether requests may differ in axes beyond 0, so that a call has a block for each shape.
        flights: Holds the calls under way, and the clock; None for one slot, with nothing known of what a call takes.
        on_lost: Told the release's name when a call lost its replica, before the next call starts.
    """

    def __init__(
        self,
        send: Send,
        *,
        release: str = "model",
        bounds: Bounds = DEFAULT_BOUNDS,
        ragged: bool = True,
        flights: Flights[_Waiting] | None = None,
        on_lost: Callable[[str], None] = lambda release: None,
    ) -> None:
        self._send, self._release = send, release
        self.bounds, self._ragged = bounds, ragged
        self._flights, self._on_lost = Flights() if flights is None else flights, on_lost
        self._clock = self._flights.clock
        self._queue: dict[_Waiting, None] = {}  # a set with an order: any member leaves in O(1)
        self._turns: Turns[_Waiting] | None = None  # once not all of it went in a call
        self._rows_by_level = Counter[int]()
        self._rows = self._bytes = self._refused = 0
        self._expiry = Expiry[_Waiting](self._expire)
        self._pump_is_due = False
        # A block serves many requests, so it must not run in the context (trace, request id) of the one that woke it.
        self._context = contextvars.copy_context()

    @property
    def slots(self) -> int:
        """Calls in flight at a time, beside those that travel ahead."""
        return self._flights.slots

    @slots.setter
    def slots(self, slots: int) -> None:
        """Change it; more slots send at once what waits."""
        self._flights.slots = slots
        self._pump_soon()

    @property
    def is_idle(self) -> bool:
        """Whether no request waits or is in flight."""
        return not self._queue and not self._flights

    @property
    def queued_rows(self) -> int:
        """Rows that wait for a slot."""
        return self._rows

    async def submit(self, request: InferenceRequest, timeout_s: float, *, alone: bool = False) -> Coalesced:
        """Answer one validated request.

        Args:
            request: Its tensors fit the release's signature.
            timeout_s: Seconds from now after which the caller is told `DeadlineExceeded`.
            alone: Have it leave at once in a call of its own, past the queue and its bounds.

        Raises:
            Overloaded: The queue is full; nothing was queued, or it had to give way to another tenant's.
            DeadlineUnreachable: What is ahead of it takes longer than `timeout_s`; nothing was queued.
            ReplicaLost: The replica died with the request, which may be repeated.
            DeadlineExceeded: No answer in time; a request that had not left is not executed.
            ServeAppError: What the release says about this request.
        """
        waiting = self._send_alone(request, timeout_s) if alone else self._enqueue(request, timeout_s)
        try:
            return await waiting.answer
        finally:
            self._forget(waiting)
            del waiting  # its answer's error knows this frame: both would stay until the next garbage collection

    async def submit_all(self, requests: Iterable[InferenceRequest], timeout_s: float) -> list[Coalesced | Exception]:
        """Answer validated requests of one caller, in as few calls as they fit in.

        Args:
            requests: Their tensors fit the release's signature.
            timeout_s: Seconds from now, for each of them.

        Returns:
            For each, in their order, what `submit` would give or raise.
        """
        tried = [self._tried(request, timeout_s) for request in requests]
        waiting = [one for one in tried if isinstance(one, _Waiting)]
        try:
            await asyncio.gather(*(one.answer for one in waiting), return_exceptions=True)
        finally:
            for one in waiting:
                self._forget(one)
        return [_given(one.answer) if isinstance(one, _Waiting) else one for one in tried]

    def _tried(self, request: InferenceRequest, timeout_s: float) -> _Waiting | Exception:
        try:
            return self._enqueue(request, timeout_s)
        except Exception as error:  # the others of the caller are queued, or will be
            return error

    def forecast_s(self, rows: int, priority: int) -> float:
        """Seconds until an answer to `rows` that arrive now, usually; 0 where they would leave at once."""
        flights, bounds = self._flights, self.bounds
        if not self._queue and len(flights) < flights.slots:
            return 0.0
        ahead = sum([waiting for level, waiting in self._rows_by_level.items() if level <= priority])
        if rows > bounds.call_rows:  # it travels alone
            each = self._rows_of_call(ahead)
            return flights.forecast_s(rows, -(-ahead // each) if each else 0, each)
        together, calls = ahead + rows, 1 + self._bytes // bounds.call_bytes
        # Until its own call leaves others may join it, as they joined those under way.
        each = self._rows_of_call(flights.rows // max(1, len(flights)))
        if together > each:
            calls = max(calls, -(-together // self._rows_of_call(together)))
            each = max(each, -(-together // calls))
        return flights.forecast_s(each, calls - 1, each)

    def admit(self, rows: int, priority: int, timeout_s: float) -> None:
        """Refuse a request for which there is no hope.

        Raises:
            DeadlineUnreachable: What is ahead of it takes longer than `timeout_s`.
        """
        forecast_s = self.forecast_s(rows, priority)
        if forecast_s > HEADROOM * timeout_s:
            self._refused += 1
            raise DeadlineUnreachable(self._release, forecast_s, timeout_s)

    def _enqueue(self, request: InferenceRequest, timeout_s: float) -> _Waiting:
        rows, priority = request.rows, request.priority
        self.admit(rows, priority, timeout_s)
        if self._rows + rows > self.bounds.queue_rows:
            self._make_room(request.tenant, rows)
        waiting = self._waiting(request, rows, timeout_s)
        self._queue[waiting] = None
        if self._turns is not None:
            self._turns.add(waiting)
        self._rows_by_level[priority] += rows
        self._rows += rows
        self._bytes += waiting.nbytes
        self._pump_soon()
        return waiting

    def _send_alone(self, request: InferenceRequest, timeout_s: float) -> _Waiting:
        waiting = self._waiting(request, request.rows, timeout_s)
        self._context.run(self._start, [waiting])
        return waiting

    def _waiting(self, request: InferenceRequest, rows: int, timeout_s: float) -> _Waiting:
        now, answer, nbytes = self._clock(), asyncio.get_running_loop().create_future(), nbytes_of(request.inputs)
        waiting = _Waiting(request, rows, nbytes, request.tenant, request.priority, now, now + timeout_s, answer)
        waiting.tick = self._expiry.add(waiting, timeout_s)
        return waiting

    def _make_room(self, tenant: str, rows: int) -> None:
        overloaded = Overloaded(self._release, self.bounds.queue_rows)
        giving_way = crowding_out(self._queue, tenant, rows)
        self._refused += len(giving_way) or 1
        if not giving_way:
            raise overloaded
        for waiting in giving_way:
            self._leave_queue(waiting)
        _fail(giving_way, overloaded)

    def _expire(self, waiting: _Waiting) -> None:
        self._refused += waiting in self._queue
        self._leave_queue(waiting)
        if not waiting.answer.done():
            allowed_s = round(waiting.deadline - waiting.since, 3)
            waiting.answer.set_exception(DeadlineExceeded(self._release, allowed_s))

    def abandon_flights(self, error: Exception) -> None:
        """Tell every request in flight `error` and stop waiting for its answer."""
        for task, flight in self._flights:
            _fail(flight.members, error)
            task.cancel()

    def refuse_waiting(self, error: Exception) -> None:
        """Tell every request that waits for a slot `error`; those in flight are not concerned."""
        waiting = list(self._queue)
        for member in waiting:
            self._leave_queue(member)
        _fail(waiting, error)

    def _forget(self, waiting: _Waiting) -> None:
        """Nobody waits for its answer any more."""
        self._leave_queue(waiting)
        self._expiry.discard(waiting, waiting.tick)

    def _leave_queue(self, waiting: _Waiting) -> None:
        if waiting in self._queue:
            del self._queue[waiting]
            self._rows_by_level[waiting.priority] -= waiting.rows
            self._rows -= waiting.rows
            self._bytes -= waiting.nbytes
            if not self._queue:
                self._turns = None

    def _pump_soon(self) -> None:
        """Send in the next turn of the loop, so that requests of this turn share a block."""
        if self._queue and not self._pump_is_due and self._may_send():
            self._pump_is_due = True
            asyncio.get_running_loop().call_soon(self._pump, context=self._context)

    def _may_send(self) -> bool:
        flights, bounds = self._flights, self.bounds
        number = len(flights)
        if number < flights.slots:
            return True
        if number >= (1 + bounds.calls_ahead) * flights.slots:
            return False
        return self._rows_of_call(self._rows) * number >= min(flights.rows, number * bounds.call_rows)

    def _pump(self) -> None:
        self._pump_is_due = False
        while self._may_send() and (members := self._take()):
            self._start(members)

    def _start(self, members: list[_Waiting]) -> None:
        flight = Flight(members, sum(waiting.rows for waiting in members))
        task = asyncio.get_running_loop().create_task(self._fly(flight))
        self._flights.start(task, flight)
        task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._flights.land(task)
        self._pump()

    def _take(self) -> list[_Waiting]:
        """Remove the next call's requests: all that wait, or the most urgent of each tenant in turn."""
        most_rows, most_bytes = self._rows_of_call(self._rows), self.bounds.call_bytes
        if self._rows <= most_rows and self._bytes <= most_bytes:
            members = sorted(self._queue, key=_urgency)
            self._queue.clear()
            self._rows_by_level.clear()
            self._rows = self._bytes = 0
            self._turns = None
            return members
        turns = self._turns = self._turns or Turns(self._queue, lambda waiting: waiting not in self._queue)
        taken: list[_Waiting] = []
        rows = nbytes = 0
        while (waiting := turns.head()) is not None:
            rows, nbytes = rows + waiting.rows, nbytes + waiting.nbytes
            if taken and (rows > most_rows or nbytes > most_bytes):
                break
            turns.goes(waiting)
            taken.append(waiting)
            self._leave_queue(waiting)
        return taken

    def _rows_of_call(self, rows: int) -> int:
        """How many of so many rows that wait go in a call."""
        return self._flights.rows_of_call(rows, self.bounds.call_rows)

    async def _fly(self, flight: Flight[_Waiting]) -> None:
        sent = self._clock()
        try:
            groups = self._by_shape(flight.members)
            blocks = tuple(self._block(group) for group in groups)
            replies = await self._send(blocks)
            self._flights.answered(flight, self._clock() - sent, blocks, replies)
            for group, block, reply in zip(groups, blocks, replies, strict=True):
                self._hand_out(group, block, reply, sent)
        except Exception as error:  # every request of the call must hear what happened to it
            _fail(flight.members, error)
            if isinstance(error, ReplicaLost):
                self._on_lost(self._release)

    def _hand_out(self, members: list[_Waiting], block: Block, reply: BlockReply, sent: float) -> None:
        for waiting, (outputs, result) in zip(members, reply.per_entry(block), strict=True):
            if waiting.answer.done():
                continue
            if outputs is None:
                waiting.answer.set_exception(result.error or ReplicaLost(self._release))
            else:
                waiting.answer.set_result(Coalesced(outputs, result, sent - waiting.since))

    def _by_shape(self, members: list[_Waiting]) -> list[list[_Waiting]]:
        if not self._ragged:
            return [members]
        groups: dict[Shapes, list[_Waiting]] = {}
        for waiting in members:
            groups.setdefault(shapes_of(waiting.request.inputs), []).append(waiting)
        return list(groups.values())

    def _block(self, members: list[_Waiting]) -> Block:
        answer_by = self._clock() + self._flights.way_s  # what the way takes is not the release's to use
        entries = tuple(
            BlockEntry(
                waiting.rows,
                waiting.request.request_id,
                max(0.0, waiting.deadline - answer_by),
                waiting.request.parameters,
                waiting.priority,
                waiting.request.explain,
            )
            for waiting in members
        )
        refused, self._refused = self._refused, 0
        requests = [waiting.request for waiting in members]
        inputs = joined([request.inputs for request in requests])
        return Block(inputs, entries, SENDER, self._rows, refused, outputs_wanted(requests))


def _urgency(waiting: _Waiting) -> tuple[int, float]:
    return waiting.priority, waiting.deadline


def _given(answer: asyncio.Future[Coalesced]) -> Coalesced | Exception:
    try:
        return answer.result()
    except Exception as error:  # whatever its call ended with
        return error


def _fail(members: Iterable[_Waiting], error: Exception) -> None:
    for waiting in members:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
