"""How long one execution takes, by its rows: measured in a sweep, and filled in from what was known before."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

BUDGET_S = 1.5  # of a release's start; what takes longer is learned under traffic
MIN_REPEATS, MAX_REPEATS = 3, 20
ENOUGH_S = 0.02  # a size that was executed for so long is not executed more than MIN_REPEATS times

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class ExecutionTime:
    """What executions of one size took, in seconds."""

    median_s: float
    p95_s: float


Profile = Mapping[int, ExecutionTime]
"""Execution times by rows."""


def sweep_sizes(max_rows: int) -> tuple[int, ...]:
    """Powers of two up to `max_rows`, and `max_rows`."""
    return tuple(sorted({*(2**power for power in range(max_rows.bit_length())), max_rows}))


def sweep(
    timed: Callable[[int], float], sizes: Iterable[int], clock: Clock, budget_s: float = BUDGET_S
) -> dict[int, ExecutionTime]:
    """Measure executions of each size while the budget lasts; the first size is measured in any case.

    Args:
        timed: Executes a batch of so many rows and gives back the seconds that took.
        sizes: Rows, ascending.
        clock: Seconds from any origin, monotonic.
        budget_s: A size and all above it are left out if it would end later than that, did time grow as rows do.
    """
    profile: dict[int, ExecutionTime] = {}
    ends, known = clock() + budget_s, 0
    for rows in sizes:
        if known and clock() + MIN_REPEATS * profile[known].median_s * rows / known > ends:
            break
        profile[rows], known = _measured(timed, rows, clock, ends), rows
    return profile


def single(seconds: float) -> ExecutionTime:
    """What is known from one execution."""
    return ExecutionTime(seconds, seconds)


def seeded(measured: Profile, known_s: Mapping[int, float]) -> dict[int, ExecutionTime]:
    """What was measured, and for other sizes what was known before, brought to this machine's speed.

    Args:
        measured: Times measured here.
        known_s: Seconds by rows from elsewhere; the largest size that both have tells the speeds apart.
    """
    common = max(measured.keys() & known_s.keys(), default=None)
    scale = 1.0 if common is None else measured[common].median_s / known_s[common]
    seeds = {rows: single(scale * seconds) for rows, seconds in known_s.items()}
    return dict(sorted({**seeds, **measured}.items()))


def _measured(timed: Callable[[int], float], rows: int, clock: Clock, ends: float) -> ExecutionTime:
    times = [timed(rows)]
    while clock() < ends and (len(times) < MIN_REPEATS or (len(times) < MAX_REPEATS and sum(times) < ENOUGH_S)):
        times.append(timed(rows))
    times.sort()
    return ExecutionTime(statistics.median(times), times[round(0.95 * (len(times) - 1))])
