"""Everything one benchmark measured, as it is written to `results.json`."""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from load_tests.accounting import Cost
from load_tests.batch_sizes import BatchSample
from load_tests.goodput import Goodput
from load_tests.host_noise import HostNoise
from load_tests.machine import Machine
from load_tests.plan import Plan
from load_tests.points import ClosedPoint
from load_tests.servers.limits import Limit


@dataclass(frozen=True, slots=True)
class ClosedRun:
    """A closed-loop point and what it cost the server."""

    point: ClosedPoint
    cost: Cost

    @property
    def cpu_s_per_1000(self) -> float:
        """CPU seconds of all the server's processes for every 1,000 answers."""
        return self.cost.cpu_s_per_1000(self.point.answers)


@dataclass(slots=True)
class TargetRound:
    """What one round gave for one target.

    Attributes:
        round: From 1.
        closed: By connections, rising.
        goodput: None if it was left out.
        batch_sizes: During a ramp up and down; empty if they were not read.
        ramp_peak_per_s: The ramp's highest rate.
    """

    round: int
    host: str
    target: str
    workload: str
    closed: list[ClosedRun] = field(default_factory=list)
    goodput: Goodput | None = None
    batch_sizes: tuple[BatchSample, ...] = ()
    ramp_peak_per_s: float = 0.0

    @property
    def best_per_s(self) -> float:
        """Most requests per second of any closed-loop point; 0 if there is none."""
        return max((run.point.requests_per_s for run in self.closed), default=0.0)

    def closed_at(self, connections: int) -> ClosedRun | None:
        """The point at a number of connections, if it was measured."""
        return next((run for run in self.closed if run.point.connections == connections), None)


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A host that could not be measured, and why."""

    host: str
    reason: str


@dataclass(slots=True)
class BenchResults:
    """One benchmark.

    Attributes:
        date: ISO 8601.
        noise: Of the machine before each round, with nothing beside it.
        left_out: Measurements that there was no time for, each time.
        notes: What a reader must know to read the figures rightly.
    """

    command: str
    date: str
    machine: Machine
    plan: Plan
    rounds: list[TargetRound] = field(default_factory=list)
    unavailable: list[Unavailable] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)
    noise: list[HostNoise] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def json(self) -> bytes:
        """The whole as JSON; what is not a number is null."""
        return orjson.dumps(self, option=orjson.OPT_INDENT_2)
