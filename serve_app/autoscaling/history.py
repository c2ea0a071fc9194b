"""The last reports of each replica, as the cluster hands them over: one series of points for each number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

from serve_app.autoscaling.stats import ReplicaStats

_NAMES = tuple(field.name for field in fields(ReplicaStats))


class Point(Protocol):
    """One value of a series."""

    @property
    def timestamp(self) -> float:
        """Seconds since the epoch, by the replica's clock."""

    @property
    def value(self) -> float:
        """What was reported then."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A replica's report and when it was made, in seconds since the epoch."""

    at: float
    stats: ReplicaStats


History = tuple[Sample, ...]
"""A replica's reports, the oldest first."""


Series = Mapping[str, Mapping[str, Sequence[Point]]]
"""Points of each number and replica, the oldest first; other numbers than ours may be among them."""


def latest(series: Series) -> float:
    """When the newest report was made; minus infinity if there is none."""
    points = series.get(_NAMES[0], {}).values()
    return max((last[-1].timestamp for last in points if last), default=-math.inf)


def histories(series: Series) -> dict[str, History]:
    """What every replica reported in full; one that reported nothing is left out."""
    found: dict[str, History] = {}
    for replica in series.get(_NAMES[0], {}):
        values = [{point.timestamp: point.value for point in series.get(name, {}).get(replica, ())} for name in _NAMES]
        times = sorted(set.intersection(*map(set, values)))
        if times:
            found[replica] = tuple(Sample(at, ReplicaStats(*(of[at] for of in values))) for at in times)
    return found
