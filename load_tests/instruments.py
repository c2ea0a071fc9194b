"""What a benchmark measures with; tests put others in their place."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from load_tests import closed_loop, generators, wrk
from load_tests.accounting import Account, Cost
from load_tests.batch_sizes import BatchSample, read_executed, sampled
from load_tests.host_noise import HostNoise, host_noise
from load_tests.open_loop import OpenLoad
from load_tests.points import ClosedPoint, OpenPoint
from load_tests.target import OURS, Target


class Instruments(Protocol):
    """Puts loads on targets and reads what they did."""

    def closed(self, target: Target, connections: int, seconds: float) -> ClosedPoint:
        """A closed loop."""

    def open(self, load: OpenLoad) -> OpenPoint:
        """An open loop."""

    def cost_of(self, target: Target, load: Callable[[], ClosedPoint]) -> tuple[ClosedPoint, Cost]:
        """Run a load, and what it cost the target's processes."""

    def tells_batches(self, target: Target) -> bool:
        """Whether the target's server tells its batches."""

    def batch_sizes(self, load: OpenLoad) -> tuple[BatchSample, ...]:
        """Batches during an open loop."""

    def noise(self, seconds: float) -> HostNoise:
        """How evenly the machine gives one process its CPU."""


@dataclass(frozen=True, slots=True)
class RealInstruments:
    """wrk where it is installed, else the loop in Python; open loops in `processes` processes."""

    wrk: str | None
    processes: int = 1
    statistics_interval_s: float = 1.0

    def closed(self, target: Target, connections: int, seconds: float) -> ClosedPoint:
        """A closed loop."""
        if self.wrk is not None:
            return wrk.run(self.wrk, target, connections, seconds)
        return asyncio.run(closed_loop.run(target, connections, seconds)).point

    def open(self, load: OpenLoad) -> OpenPoint:
        """An open loop."""
        return generators.run(load, self.processes).point(load)

    def cost_of(self, target: Target, load: Callable[[], ClosedPoint]) -> tuple[ClosedPoint, Cost]:
        """Run a load, and what it cost the target's processes."""
        account = Account(target.pids, target.applications)
        point = load()
        return point, account.close()

    def tells_batches(self, target: Target) -> bool:
        """Whether the target's server tells its batches."""
        return target.name.startswith(OURS) and read_executed(target) is not None

    def batch_sizes(self, load: OpenLoad) -> tuple[BatchSample, ...]:
        """Batches during an open loop."""
        read = partial(read_executed, load.target)
        return sampled(partial(self.open, load), read, self.statistics_interval_s)

    def noise(self, seconds: float) -> HostNoise:
        """How evenly the machine gives one process its CPU."""
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:  # this one draws its progress
            return alone.submit(host_noise, seconds).result()
