"""What a replica reports about its rows once in a while, as rates since the report before."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from serve_app.batching.totals import Totals
from serve_app.types import ReleaseInfo


@dataclass(frozen=True, slots=True)
class ReplicaStats:
    """One replica's report; the names are those under which the cluster keeps the numbers.

    Attributes:
        queued_rows: Rows that wait now, with those that the gateways hold back.
        rows_per_s: Rows executed a second.
        utilisation: Busy part of the instances' time. Executions count when they end, so that one report may be over 1
            and those before it too low where an execution is longer than the time between reports.
        misses_per_s: Requests a second that were refused, or ended because their deadline could not be met.
        capacity_rows_per_s: What the replica could execute in full batches; 0 if it is not known.
    """

    queued_rows: float
    rows_per_s: float
    utilisation: float
    misses_per_s: float
    capacity_rows_per_s: float


class Meter:
    """Makes reports of a replica's running totals.

    Args:
        clock: Seconds from any origin, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._before, self._read_at = Totals(rows=0, busy_s=0.0, missed=0, refused=0, queued_rows=0), clock()

    def read(self, totals: Totals, info: ReleaseInfo) -> ReplicaStats:
        """What happened since the last reading, or since the meter was made.

        Args:
            totals: The replica's totals now.
            info: The release's limits and learned latencies now.
        """
        now, before = self._clock(), self._before
        seconds = max(now - self._read_at, 1e-9)
        self._before, self._read_at = totals, now
        return ReplicaStats(
            queued_rows=float(totals.queued_rows),
            rows_per_s=(totals.rows - before.rows) / seconds,
            utilisation=(totals.busy_s - before.busy_s) / seconds / totals.instances,
            misses_per_s=(totals.missed + totals.refused - before.missed - before.refused) / seconds,
            capacity_rows_per_s=totals.instances * best_rows_per_s(info),
        )


def best_rows_per_s(info: ReleaseInfo) -> float:
    """Rows a second of one instance in its best batches, by the release's latencies; 0 if none are known.

    A batch counts only if two of them fit into the SLO: a row that comes when one has just begun waits for it and is
    then in the next one (Shen et al., "Nexus", SOSP 2019). Where not even the smallest does, that one counts.
    """
    known = sorted((rows, ms) for rows, ms in info.profile.items() if rows <= info.max_rows and ms > 0)
    in_time = [(rows, ms) for rows, ms in known if info.slo_ms is None or 2 * ms <= info.slo_ms]
    return max((1000 * rows / ms for rows, ms in in_time or known[:1]), default=0.0)
