"""Which rows are executed next, and when."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from serve_app.batching.arrivals import Arrivals
from serve_app.batching.job import Piece
from serve_app.batching.latency import LatencyModel
from serve_app.batching.lookahead import heads_to_give_up
from serve_app.batching.queue import PieceQueue
from serve_app.config.release import BatchingConfig

PROBE_S = 1.0  # after so long without an execution one is tried whatever the forecast says, or it could never change
SHORTEST_WAIT_S = 0.0005  # a timer is not worth less


@dataclass(slots=True)
class Step:
    """What to do now.

    Attributes:
        pieces: To be executed together; they are taken off the queue. Empty if there is nothing to execute yet.
        hopeless: Pieces that cannot be answered in time any more, taken off the queue.
        wait_until_s: Clock reading at which to ask again if nothing arrives before; None where `pieces` is not empty
            or the queue is.
    """

    pieces: list[Piece] = field(default_factory=list)
    hopeless: list[Piece] = field(default_factory=list)
    wait_until_s: float | None = None


class BatchPolicy(Protocol):
    """Decides what a batch is made of, from what waits and from the latencies it has seen."""

    config: BatchingConfig

    def next_step(self, queue: PieceQueue, now: float, *, may_wait: bool) -> Step:
        """What to do with a free instance.

        Args:
            queue: What waits; the step's pieces and hopeless pieces are taken off it.
            now: The clock's reading, in seconds.
            may_wait: False if another instance could take the rows that would be waited for.
        """

    def arrived(self, rows: int, now: float) -> None:
        """Rows arrived together."""

    def observe(self, rows: int, seconds: float) -> None:
        """An execution of `rows`, padding included, took `seconds`."""

    def usual_s(self, rows: int) -> float:
        """Seconds an execution of `rows` usually takes; 0 if nothing is known."""


class AdaptivePolicy:
    """The largest batch that still meets its earliest deadline; it waits for more rows only where that saves time.

    Three decisions, each from the learned latencies l(n):

    - *Size*: all that waits, up to the limits, if now + l(n) is within the head's deadline (a high quantile is used).
      Else either a smaller batch, or the heads are given up for a larger one that serves more rows in time, whichever
      a look ahead says (early drop: Shen et al., "Nexus", SOSP 2019, section 6.3).
    - *Refusal*: a piece whose own usual time does not fit before its deadline is not executed.
    - *Wait*: a batch that starts now makes the next k rows wait until it ends, so with n rows waiting it pays to wait
      for them while n * gap + (n + k) * (l(n + k) - l(n)) < k * (l(n) - gap), `gap` being the time between arrivals:
      the sum of all waits gets smaller. Never into the time that the head's deadline leaves for n + k rows, as in
      Symphony (Chen et al., arXiv 2308.07470). On an idle server gaps are long, so a lone request runs at once.

    Args:
        config: Limits of a batch.
        latency: What executions take.
        clock: Seconds from any origin, monotonic.
    """

    def __init__(
        self,
        config: BatchingConfig,
        latency: LatencyModel | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.config, self.latency = config, latency or LatencyModel()
        self._arrivals = Arrivals()
        self._executed_at, self._clock = clock(), clock

    def next_step(self, queue: PieceQueue, now: float, *, may_wait: bool) -> Step:
        """See `BatchPolicy`."""
        hopeless = [] if now - self._executed_at > PROBE_S else self._hopeless(queue, now)
        hopeless += self._expired(queue, now)
        head = queue.head()
        if head is None:
            return Step(hopeless=hopeless)
        rows = min(queue.rows, self.config.max_rows)
        if queue.has_one_level and now + self._most_s(rows) <= head.deadline:
            if may_wait and (until := self._wait_until(rows, head.deadline, now)) > now + SHORTEST_WAIT_S:
                return Step([], hopeless, until)
            return Step(take(queue, self.config, self._trimmed(rows)), hopeless)
        return self._tight(queue, now, hopeless)

    def arrived(self, rows: int, now: float) -> None:
        """Learn how soon rows follow each other."""
        self._arrivals.observe(rows, now)

    def observe(self, rows: int, seconds: float) -> None:
        """Learn from an execution."""
        self._executed_at = self._clock()
        self.latency.observe(rows, seconds)

    def usual_s(self, rows: int) -> float:
        """Seconds an execution of `rows` usually takes, with the padding it gets; 0 if nothing is known."""
        return self.latency.usual_s(self.config.executed_rows(rows))

    def _most_s(self, rows: int) -> float:
        return self.latency.most_s(self.config.executed_rows(rows))

    def _hopeless(self, queue: PieceQueue, now: float) -> list[Piece]:
        """Take the heads off that cannot end in time even alone."""
        given_up: list[Piece] = []
        while (head := queue.head()) and now + self.usual_s(head.rows) > head.deadline:
            queue.remove(head)
            given_up.append(head)
        return given_up

    def _expired(self, queue: PieceQueue, now: float) -> list[Piece]:
        given_up: list[Piece] = []
        while (head := queue.head()) and now >= head.deadline:
            queue.remove(head)
            given_up.append(head)
        return given_up

    def _tight(self, queue: PieceQueue, now: float, hopeless: list[Piece]) -> Step:
        """A batch for a head whose deadline does not leave time for all that waits."""
        for piece in heads_to_give_up(queue, now, self.config.max_rows, self.usual_s):
            queue.remove(piece)
            hopeless.append(piece)
        taken: list[Piece] = []
        rows, nbytes, deadline = 0, 0, float("inf")
        for piece in list(queue.in_order(self.config.max_rows)):
            if now + self.usual_s(piece.rows) > piece.deadline and taken:  # of another level; its turn will come
                continue
            after, deadline = rows + piece.rows, min(deadline, piece.deadline)
            nbytes += piece.nbytes
            if taken and (not self.config.fits(after, nbytes) or now + self._most_s(after) > deadline):
                break
            queue.remove(piece)
            taken.append(piece)
            rows = after
        return Step(taken, hopeless)

    def _trimmed(self, rows: int) -> int:
        """`rows`, or the next smaller allowed size if padding to the larger one costs more than it serves."""
        below = max((size for size in self.config.allowed_rows if size <= rows), default=0)
        if not 0 < below < rows or rows * self.usual_s(below) >= below * self.usual_s(rows):
            return rows
        return below

    def _wait_until(self, rows: int, deadline: float, now: float) -> float:
        """Until when it pays to wait for another arrival; `now` or less if it does not."""
        if rows >= self.config.max_rows:
            return now
        more = max(1, min(round(self._arrivals.rows), self.config.max_rows - rows))
        running = self.usual_s(rows)
        longest_gap = (more * running - (rows + more) * (self.usual_s(rows + more) - running)) / (rows + more)
        if self._arrivals.gap_s(now) >= longest_gap:
            return now
        return min(self._arrivals.last_s + longest_gap, deadline - self._most_s(rows + more))


def take(queue: PieceQueue, config: BatchingConfig, most_rows: int) -> list[Piece]:
    """Take the most urgent pieces off the queue, as many as fit the rows and a batch's bytes; always at least one."""
    taken: list[Piece] = []
    rows = nbytes = 0
    while head := queue.head():
        rows, nbytes = rows + head.rows, nbytes + head.nbytes
        if taken and (rows > most_rows or not config.fits(rows, nbytes)):
            break
        queue.remove(head)
        taken.append(head)
    return taken
