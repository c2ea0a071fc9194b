"""When the requests of an open loop are due: a seeded Poisson process whose rate may change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Phase(NamedTuple):
    """A stretch of time with one rate, in requests per second."""

    rate_per_s: float
    seconds: float


def arrivals_s(phases: Sequence[Phase], seed: int) -> NDArray[np.float64]:
    """Due times in seconds from the start, in order.

    Inside a phase the number of arrivals is Poisson and they lie uniformly, which is a Poisson process.
    """
    random, begins, parts = np.random.default_rng(seed), 0.0, [np.empty(0)]
    for phase in phases:
        count = random.poisson(phase.rate_per_s * phase.seconds)
        parts.append(begins + np.sort(random.uniform(0, phase.seconds, count)))
        begins += phase.seconds
    return np.concatenate(parts)


def trace(rates_per_s: Sequence[float]) -> tuple[Phase, ...]:
    """A recorded load to replay: the rate of each second, e.g. quiet, burst, quiet."""
    return tuple(Phase(rate, 1.0) for rate in rates_per_s)


def ramp(peak_per_s: float, seconds: int) -> tuple[Phase, ...]:
    """Second by second evenly up to the peak and down again; `seconds` is the whole length, at least 2."""
    half = seconds / 2
    return trace([peak_per_s * (1 - abs(second + 0.5 - half) / half) for second in range(seconds)])


def seconds_of(phases: Sequence[Phase]) -> float:
    """Length of all phases together."""
    return sum(phase.seconds for phase in phases)
