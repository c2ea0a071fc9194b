"""Memory of a server over time, and whether it stayed flat."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WARM_UP_SHARE = 0.2
MAX_GROWTH = 0.05
_LEAST = 6  # samples after the warm-up: two for each third


@dataclass(frozen=True, slots=True)
class MemorySample:
    """PSS in bytes of each process, by pid and title, at a time in seconds since the start."""

    at_s: float
    bytes_by_process: Mapping[str, int]

    @property
    def total(self) -> int:
        """Of all processes."""
        return sum(self.bytes_by_process.values())


@dataclass(frozen=True, slots=True)
class Growth:
    """From the first to the last third after the warm-up; medians in bytes."""

    process: str
    first: float
    last: float

    @property
    def share(self) -> float:
        """Growth as a share of the first; infinite for what was not there at first."""
        return self.last / self.first - 1 if self.first else float("inf")


def growth_of(samples: Sequence[MemorySample]) -> Growth | None:
    """Of all processes together; None if there are too few samples to tell."""
    return _growth("all", [float(sample.total) for sample in _after_warm_up(samples)])


def growth_by_process(samples: Sequence[MemorySample]) -> list[Growth]:
    """Of each process, the one that grew by most bytes first."""
    kept = _after_warm_up(samples)
    names = dict.fromkeys(name for sample in kept for name in sample.bytes_by_process)
    found = [_growth(name, [float(sample.bytes_by_process.get(name, 0)) for sample in kept]) for name in names]
    return sorted(filter(None, found), key=lambda growth: growth.first - growth.last)


def _after_warm_up(samples: Sequence[MemorySample]) -> list[MemorySample]:
    begins = samples[-1].at_s * WARM_UP_SHARE if samples else 0.0
    return [sample for sample in samples if sample.at_s >= begins]


def _growth(name: str, sizes: Sequence[float]) -> Growth | None:
    if len(sizes) < _LEAST:
        return None
    third = len(sizes) // 3
    return Growth(name, statistics.median(sizes[:third]), statistics.median(sizes[-third:]))
