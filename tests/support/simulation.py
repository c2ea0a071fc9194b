"""A batch policy played through on invented time: arrivals and service times in, who was answered in time out."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from serve_app.batching.job import Piece
from serve_app.batching.policy import BatchPolicy, Step, take
from serve_app.batching.queue import PieceQueue
from serve_app.config.release import BatchingConfig


class FixedPolicy:
    """The textbook batcher: up to `max_rows` rows, or what there is once the head has waited `max_wait_s`.

    It knows no deadlines, so it executes what is late already.
    """

    def __init__(self, max_rows: int, max_wait_s: float = 0.0) -> None:
        self.config = BatchingConfig(max_rows=max_rows, max_queue_rows=10**6)
        self._max_wait_s = max_wait_s

    def next_step(self, queue: PieceQueue, now: float, *, may_wait: bool) -> Step:
        head = queue.head()
        if head is None:
            return Step()
        due = head.job.submitted + self._max_wait_s
        if queue.rows < self.config.max_rows and now < due:
            return Step(wait_until_s=due)
        return Step(take(queue, self.config, self.config.max_rows))

    def arrived(self, rows: int, now: float) -> None:
        pass

    def observe(self, rows: int, seconds: float) -> None:
        pass

    def usual_s(self, rows: int) -> float:
        return 0.0


@dataclass(frozen=True)
class Arrival:
    """A request of `rows` at `submitted`, of use until `deadline`."""

    submitted: float
    deadline: float = float("inf")
    rows: int = 1
    priority: int = 5

    def piece(self) -> Piece:
        return Piece(self, 0, 0, self.rows, self.priority, self.deadline, 0)


def waiting(*arrivals: Arrival) -> PieceQueue:
    queue = PieceQueue()
    for arrival in arrivals:
        queue.push(arrival.piece())
    return queue


@dataclass
class Outcome:
    """Rows by what became of them, and the rows of every execution."""

    in_time: int = 0
    late: int = 0
    refused: int = 0
    waits_s: list[float] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)

    @property
    def offered(self) -> int:
        return self.in_time + self.late + self.refused


def play(policy: BatchPolicy, arrivals: Sequence[Arrival], service_s: Callable[[int], float], clock: list[float]):
    """One instance serves the arrivals; `clock` is the policy's, moved along."""
    coming, queue, outcome = deque(arrivals), PieceQueue(), Outcome()
    while coming or queue:
        wake = coming[0].submitted if coming else float("inf")
        if queue:
            step = policy.next_step(queue, clock[0], may_wait=True)
            for piece in step.hopeless:
                outcome.refused += piece.rows
            if step.pieces:
                _execute(policy, step.pieces, service_s, clock, outcome)
                _arrive(policy, coming, queue, clock[0])
                continue
            wake = min(wake, step.wait_until_s or float("inf"))
        if wake < float("inf"):
            clock[0] = max(clock[0], wake)
        _arrive(policy, coming, queue, clock[0])
    return outcome


def _execute(policy, pieces, service_s, clock, outcome) -> None:
    rows = sum(piece.rows for piece in pieces)
    took = service_s(policy.config.executed_rows(rows))
    outcome.waits_s += [clock[0] - piece.job.submitted for piece in pieces]
    clock[0] += took
    policy.observe(policy.config.executed_rows(rows), took)
    outcome.batches.append(rows)
    for piece in pieces:
        if clock[0] <= piece.deadline:
            outcome.in_time += piece.rows
        else:
            outcome.late += piece.rows


def _arrive(policy, coming, queue, now) -> None:
    while coming and coming[0].submitted <= now:
        arrival = coming.popleft()
        policy.arrived(arrival.rows, arrival.submitted)
        queue.push(arrival.piece())


def poisson(rate: float, seconds: float, slo_s: float, seed: int = 7, start: float = 0.0) -> list[Arrival]:
    """Lone rows at random times, `rate` a second on average."""
    draw, now, arrivals = random.Random(seed), start, []
    while (now := now + draw.expovariate(rate)) < start + seconds:
        arrivals.append(Arrival(now, now + slo_s))
    return arrivals


def bursts(low: float, high: float, seconds: float, slo_s: float, seed: int = 7) -> list[Arrival]:
    """Half a second at the low rate, half a second at the high one, in turn."""
    arrivals: list[Arrival] = []
    for turn in range(int(2 * seconds)):
        arrivals += poisson(high if turn % 2 else low, 0.5, slo_s, seed + turn, start=turn / 2)
    return arrivals
