"""`python -m load_tests.host_noise`: whether the machine gives a process its CPU evenly, while nothing else runs there.

The same work again and again, and how long each took: a benchmark of fixed work quanta (FWQ), as is used to find the
noise of operating systems. A virtual machine's CPU may be slow for tens of milliseconds at a time and no steal time
tell of it. A server that is at work for a good part of the time then falls behind for longer than a short objective
allows, whatever it does.
"""

from __future__ import annotations

import statistics
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

SLOW = 2.5  # times what a quantum usually takes
APART_S = 0.0005  # slow quanta with no more between them are one stretch
_QUANTUM = range(2000)  # summed up: some 20 us


@dataclass(frozen=True, slots=True)
class HostNoise:
    """How much of the time the CPU was slow.

    Attributes:
        slow_share: Of the time, from 0 to 1.
        longest_ms: The longest stretch.
    """

    slow_share: float
    longest_ms: float

    def __str__(self) -> str:
        return f"{100 * self.slow_share:.1f}% of the time, at most {self.longest_ms:.0f} ms at a stretch"


def noise_of(durations_s: Sequence[float]) -> HostNoise:
    """What the durations of one work tell, which was done without a pause.

    Args:
        durations_s: In their order; at least one.
    """
    slow_s = SLOW * statistics.median(durations_s)
    slow = longest = began = 0.0
    now, ended = 0.0, -1.0
    for duration in durations_s:
        if duration > slow_s:
            slow += duration
            if now - ended > APART_S:
                began = now
            ended = now + duration
            longest = max(longest, ended - began)
        now += duration
    return HostNoise(slow / now, 1000 * longest)


def host_noise(seconds: float, clock: Callable[[], float] = time.perf_counter) -> HostNoise:
    """Keep one CPU at work for some seconds, and tell how evenly it was."""
    durations = array("d")
    now = clock()
    ends = now + seconds
    while now < ends:
        sum(_QUANTUM)
        before, now = now, clock()
        durations.append(now - before)
    return noise_of(durations)


def main(seconds: Annotated[float, typer.Option(min=0.1, max=60, help="That one CPU is kept at work.")] = 10.0) -> None:
    """Tell how evenly this machine gives a process its CPU."""
    print(f"below {1 / SLOW:g} of its usual speed {host_noise(seconds)}")


if __name__ == "__main__":
    typer.run(main)
