"""How much of its replicas a release uses, from their reports over some time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from serve_app.autoscaling.history import History

STANDING_S = 0.5  # a queue never shorter than what takes so long to execute is no passing burst


@dataclass(frozen=True, slots=True)
class Load:
    """What replicas had to do, counted in replicas that execute full batches all the time.

    Attributes:
        replicas: How many it was measured on.
        done: What they executed.
        growth: What the queue grew by in a second; below 0 while it shrinks.
        backlog_s: Seconds that one replica needs for what waited at the end.
        queue_s: Seconds that a replica needed, in the mean, for what waited for it.
        stands: Whether a queue was there all the time.
        misses: Whether requests were missed or refused all the time.
    """

    replicas: int
    done: float
    growth: float = 0.0
    backlog_s: float = 0.0
    queue_s: float = 0.0
    stands: bool = False
    misses: bool = False

    @property
    def arriving(self) -> float:
        """What came in."""
        return max(0.0, self.done + self.growth)

    @property
    def per_replica(self) -> float:
        """What each executed, from 0 to 1."""
        return self.done / self.replicas


def load_of(window: Sequence[History]) -> Load:
    """The load over a window of reports; each replica has at least one.

    Being busy alone says little: a batcher that never waits is busy with small batches at a tenth of what it could do.
    So rows count by what they take in full batches, as far as latencies are known, but never for more than the time
    that was really spent. Gateways tell every replica about the same rows that they hold back, so of all the queues
    the longest counts.
    """
    parts = [_load_of(history) for history in window]
    return Load(
        replicas=len(parts),
        done=sum(part.done for part in parts),
        growth=max((part.growth for part in parts), key=abs),
        backlog_s=max(part.backlog_s for part in parts),
        queue_s=max(part.queue_s for part in parts),
        stands=any(part.stands for part in parts),
        misses=all(any(sample.stats.misses_per_s for sample in at_once) for at_once in zip(*window, strict=False)),
    )


def _load_of(history: History) -> Load:
    """One replica's; `misses` is told by all together."""
    rows_per_s = fmean(sample.stats.rows_per_s for sample in history)
    busy = min(1.0, fmean(sample.stats.utilisation for sample in history))
    capacity = fmean(sample.stats.capacity_rows_per_s for sample in history) or (rows_per_s / busy if busy else 0.0)
    if not capacity:  # nothing was ever executed, so nothing is known of how long the queue takes
        return Load(1, busy)
    queue_s = [sample.stats.queued_rows / capacity for sample in history]
    seconds = history[-1].at - history[0].at
    return Load(
        replicas=1,
        done=min(busy, rows_per_s / capacity),
        growth=(queue_s[-1] - queue_s[0]) / seconds if seconds > 0 else 0.0,
        backlog_s=queue_s[-1],
        queue_s=fmean(queue_s),
        stands=min(queue_s) > STANDING_S,
    )
