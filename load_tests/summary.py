"""Figures over rounds: medians with their range, and ratios that are formed within a round before they are summed up.

The machine drifts between rounds; a ratio within one does not feel it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from load_tests.results import TargetRound

Figure = Callable[[TargetRound], float | None]
"""One figure of a target's round; None where it was not measured."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with the lowest and the highest value."""

    median: float
    low: float
    high: float


def spread(values: Iterable[float | None]) -> Spread | None:
    """Of the values that were measured; None if there are none."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    return Spread(statistics.median(known), min(known), max(known)) if known else None


def workloads_of(rounds: Sequence[TargetRound]) -> list[str]:
    """The workloads that were measured, in the order in which they first were."""
    return list(dict.fromkeys(part.workload for part in rounds))


def targets_of(rounds: Sequence[TargetRound], workload: str) -> list[str]:
    """The targets of a workload, in the order in which they were first measured."""
    return list(dict.fromkeys(part.target for part in rounds if part.workload == workload))


def parts_of(rounds: Sequence[TargetRound], workload: str, target: str) -> list[TargetRound]:
    """What the rounds gave for one target."""
    return [part for part in rounds if (part.workload, part.target) == (workload, target)]


def ratio(parts: Sequence[TargetRound], baseline: Sequence[TargetRound], figure: Figure) -> Spread | None:
    """A figure of one target over that of another, round by round; None where no round has both."""
    by_round = {part.round: figure(part) for part in baseline}
    ratios = []
    for part in parts:
        above, below = figure(part), by_round.get(part.round)
        if above is not None and below:
            ratios.append(above / below)
    return spread(ratios)


def requests_per_s_at(connections: int) -> Figure:
    """Throughput of the closed loop."""

    def figure(part: TargetRound) -> float | None:
        """Requests per second at that many connections."""
        run = part.closed_at(connections)
        return run.point.requests_per_s if run else None

    return figure


def connections_of(rounds: Sequence[TargetRound]) -> list[int]:
    """Every number of connections that was measured, rising."""
    return sorted({run.point.connections for part in rounds for run in part.closed})
