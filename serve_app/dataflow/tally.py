"""Counts what a release replica has executed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from serve_app.batching.execution import Execution
from serve_app.types import Duration, EntryResult, ReleaseStatistics, SizeStatistics


class Tally:
    """Counts since the replica started.

    Args:
        wall_clock: Seconds since 1970.
    """

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self._wall_clock = wall_clock
        self._last_executed_s = 0.0
        self._sizes: dict[int, list[float]] = {}
        self._answered, self._failed = 0, 0
        self._answered_s = self._failed_s = self._queue_s = self._merge_s = self._compute_s = 0.0

    def executed(self, execution: Execution) -> None:
        """Count a batch that gave an answer."""
        self._last_executed_s = self._wall_clock()
        size = self._sizes.setdefault(execution.rows, [0, 0.0, 0.0])
        size[0] += 1
        size[1] += execution.batch_s
        size[2] += execution.compute_s

    def ended(self, results: Iterable[EntryResult], seconds: float) -> None:
        """Count the requests of a block.

        Args:
            results: How each ended.
            seconds: From the block's arrival to its reply.
        """
        for result in results:  # a few adds a request, because this is on its way
            if result.error is not None:
                self._failed += 1
                self._failed_s += seconds
                continue
            timings = result.timings
            self._answered += 1
            self._answered_s += seconds
            self._queue_s += timings.queue_s
            self._merge_s += timings.batch_s
            self._compute_s += timings.compute_s

    def read(self) -> ReleaseStatistics:
        """Everything as it is now."""
        answered = self._answered
        return ReleaseStatistics(
            Duration(answered, self._answered_s),
            Duration(self._failed, self._failed_s),
            Duration(answered, self._queue_s),
            Duration(answered, self._merge_s),
            Duration(answered, self._compute_s),
            {
                rows: SizeStatistics(Duration(int(count), merge_s), Duration(int(count), compute_s))
                for rows, (count, merge_s, compute_s) in self._sizes.items()
            },
            self._last_executed_s,
        )
