"""The highest rate at which nearly all answers come in time, and what happens beyond it.

Goodput is what the users of a service get: answers within their objective. Throughput under a closed loop says little
about it, because there the clients wait with the server.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from load_tests.points import OpenPoint

OVERLOAD = 2.0


@dataclass(frozen=True, slots=True)
class GoodputSettings:
    """How to look for it.

    Attributes:
        slo_ms: An answer later than this is not in time.
        in_time_share: What share must be in time for a rate to count.
        seconds: Length of each run.
        runs: At each rate of the search, most of which must hold, and at twice the rate found, of which the middle one
            counts; odd. As soon as it is clear no more are done.
        max_rates: Of the search.
        factor: First step up or down; each further step is longer than the last by it.
        precision: The search ends when the lowest rate that failed is less than this times the highest that held.
        multiples: Of the rate found, run after the search for the curve; `OVERLOAD` always is one.
    """

    slo_ms: float = 50.0
    in_time_share: float = 0.99
    seconds: float = 4.0
    runs: int = 1
    max_rates: int = 8
    factor: float = 1.3
    precision: float = 1.06
    multiples: tuple[float, ...] = (0.25, 0.5, 1.5, OVERLOAD)

    @property
    def run_once(self) -> list[float]:
        """The multiples beside `OVERLOAD`, in order."""
        return sorted({*self.multiples} - {OVERLOAD})


@dataclass(frozen=True, slots=True)
class Goodput:
    """What was found.

    Attributes:
        rate_per_s: The highest rate offered that held; 0 if none did.
        is_bound: No rate failed, so the true one may be higher.
        points: Every run, by offered rate.
        overload: The run at twice the rate, of several that with the middle goodput; None where no rate held.
    """

    rate_per_s: float
    is_bound: bool
    points: tuple[OpenPoint, ...]
    overload: OpenPoint | None

    @property
    def peak_per_s(self) -> float:
        """The most answers in time, in a second, of any run."""
        return max((point.goodput_per_s for point in self.points), default=0.0)

    @property
    def overload_share(self) -> float:
        """Goodput at twice the rate as a share of the peak; NaN where no rate held."""
        return self.overload.goodput_per_s / self.peak_per_s if self.overload and self.peak_per_s else math.nan


def find_goodput(offer: Callable[[float], OpenPoint], first_per_s: float, settings: GoodputSettings) -> Goodput:
    """Search from a first guess in growing steps, then by halving the bracket, then run the multiples.

    Args:
        offer: Puts an open loop at a rate on the server.
        first_per_s: Where to begin, over 0; about what a closed loop reached.
        settings: When a rate holds and when to stop.
    """
    bracket, points, rate = _Bracket(settings.factor, settings.factor), list[OpenPoint](), first_per_s
    for _ in range(settings.max_rates):
        runs, holds = _most(offer, rate, settings)
        points += runs
        rate = bracket.next_rate(rate, holds=holds)
        if bracket.high / max(bracket.low, 1e-9) < settings.precision:
            break
    overload = None
    if bracket.low:
        points += [offer(multiple * bracket.low) for multiple in settings.run_once]
        beyond = [offer(OVERLOAD * bracket.low) for _ in range(settings.runs)]
        overload = sorted(beyond, key=lambda point: point.goodput_per_s)[settings.runs // 2]
        points += beyond
    ordered = tuple(sorted(points, key=lambda point: point.offered_per_s))
    return Goodput(bracket.low, math.isinf(bracket.high), ordered, overload)


def _most(offer: Callable[[float], OpenPoint], rate: float, settings: GoodputSettings) -> tuple[list[OpenPoint], bool]:
    """Runs at one rate until most of all that there could be hold or do not, and whether they hold."""
    runs: list[OpenPoint] = []
    held = 0
    while max(held, len(runs) - held) <= settings.runs // 2:
        runs.append(offer(rate))
        held += runs[-1].in_time_share >= settings.in_time_share
    return runs, held > settings.runs // 2


@dataclass(slots=True)
class _Bracket:
    """The highest rate that held and the lowest that did not."""

    factor: float
    step: float
    low: float = 0.0
    high: float = math.inf

    def next_rate(self, rate: float, *, holds: bool) -> float:
        """Take a run into account; gives the rate to try next."""
        if holds:
            self.low = max(self.low, rate)
        else:
            self.high = min(self.high, rate)
        if self.low and math.isfinite(self.high):
            return math.sqrt(self.low * self.high)
        step, self.step = self.step, self.step * self.factor
        return rate * step if holds else rate / step
