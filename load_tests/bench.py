"""Starts every host in turn, measures its targets, and does so again for each round."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from load_tests.arrivals import Phase, ramp
from load_tests.goodput import find_goodput
from load_tests.instruments import Instruments
from load_tests.open_loop import OpenLoad, with_deadline
from load_tests.plan import Plan
from load_tests.points import LoadFailed, OpenPoint
from load_tests.progress import Steps
from load_tests.results import BenchResults, ClosedRun, TargetRound, Unavailable
from load_tests.target import OURS, Host, HostUnavailable, Target

_NOISE_S = 10.0  # 1% of it is one stretch of the kind that does harm
_WARM_UP_CONNECTIONS = 8
_FIRST_GUESS = 0.6  # of the closed loop's best
_RAMP_PEAK = 0.9  # of the closed loop's best: the queue must not decide the batches


@dataclass(slots=True)
class Bench:
    """One benchmark under way.

    Attributes:
        plan: How thorough it is.
        instruments: What it measures with.
        steps: Told what it does.
        results: Filled as it goes.
        clock: Seconds, for the time limit.
    """

    plan: Plan
    instruments: Instruments
    steps: Steps
    results: BenchResults
    clock: Callable[[], float] = time.perf_counter

    def run(self, hosts: Sequence[Host]) -> None:
        """Measure every host that can be run, round by round, so that slow changes of the machine meet all alike."""
        started, available = self.clock(), list(hosts)
        for number in range(1, self.plan.rounds + 1):
            self.steps.more(1)
            self.steps.step(f"round {number} of {self.plan.rounds}, the machine alone")
            self.results.noise.append(self.instruments.noise(_NOISE_S))
            for index, host in enumerate(tuple(available)):
                self.steps.host(f"round {number} of {self.plan.rounds}, {host.name}")
                still_to_come = len(available) - index - 1 + (self.plan.rounds - number) * len(available)
                ends = started + self.plan.limit_s - still_to_come * self.plan.host_reserve_s
                try:
                    with host.running() as targets:
                        self._measure_host(host.name, number, targets, ends if self.plan.limit_s else float("inf"))
                except HostUnavailable as error:
                    self.results.unavailable.append(Unavailable(host.name, str(error)))
                    available.remove(host)

    def _measure_host(self, host: str, number: int, targets: Sequence[Target], ends: float) -> None:
        """All targets of one host, taking turns at each point of the closed loop."""
        measured = [(target, TargetRound(number, host, target.name, target.workload)) for target in targets]
        self.steps.more(len(measured) * (len(self.plan.connections) + 1))
        healthy = [pair for pair in measured if self._tried(pair[0], partial(self._warm_up, pair[0]))]
        for connections in self.plan.connections:
            for target, into in healthy:
                self._tried(target, partial(self._closed, target, into, connections))
        answering = [pair for pair in healthy if pair[1].best_per_s]
        for target, into in answering:
            self._tried(target, partial(self._many, target, into))
        for target, into in self._fastest_that_tell(answering) if number == 1 else ():
            self._tried(target, partial(self._batch_sizes, target, into, ends))
        for target, into in answering:
            self._tried(target, partial(self._goodput, target, into, ends))
        self.results.rounds.extend(into for _, into in measured if into.closed)

    def _fastest_that_tell(self, measured: Sequence[tuple[Target, TargetRound]]) -> list[tuple[Target, TargetRound]]:
        """For each workload the fastest target whose server tells its batches: the doors of one server share them."""
        fastest: dict[str, tuple[Target, TargetRound]] = {}
        for target, into in sorted(measured, key=lambda pair: pair[1].best_per_s):
            if self.instruments.tells_batches(target):
                fastest[target.workload] = target, into
        return list(fastest.values())

    def _tried(self, target: Target, measure: Callable[[], None]) -> bool:
        """Whether a measurement worked; if not, a note says why and the others go on."""
        try:
            measure()
        except LoadFailed as error:
            self.results.notes.append(f"{target.name}, {target.workload}: {error}")
            return False
        return True

    def _warm_up(self, target: Target) -> None:
        self.steps.step(f"{target.name}, {target.workload}: warm-up")
        self.instruments.closed(target, _WARM_UP_CONNECTIONS, self.plan.warm_up_s)

    def _closed(self, target: Target, into: TargetRound, connections: int) -> None:
        self.steps.step(f"{target.name}, {target.workload}: {connections} connections")
        point, cost = self.instruments.cost_of(
            target, lambda: self.instruments.closed(target, connections, self.plan.point_s)
        )
        into.closed.append(ClosedRun(point, cost))

    def _many(self, target: Target, into: TargetRound) -> None:
        """One more point for targets that are fast enough to need it."""
        last = into.closed_at(self.plan.connections[-1])
        if self.plan.many_connections and last and last.point.requests_per_s >= self.plan.fast_per_s:
            self.steps.more(1)
            self._closed(target, into, self.plan.many_connections)

    def _goodput(self, target: Target, into: TargetRound, ends: float) -> None:
        if self._has_time(self.plan.goodput_s, ends, f"{target.name}, {target.workload}: goodput"):
            into.goodput = find_goodput(
                lambda rate: self._offered(target, rate), _FIRST_GUESS * into.best_per_s, self.plan.goodput
            )

    def _offered(self, target: Target, rate_per_s: float) -> OpenPoint:
        return self.instruments.open(self._open_load(target, (Phase(rate_per_s, self.plan.goodput.seconds),)))

    def _open_load(self, target: Target, phases: tuple[Phase, ...]) -> OpenLoad:
        """Ours is told the objective with each request; to the others the header means nothing, or something else."""
        slo_ms = self.plan.goodput.slo_ms
        told = with_deadline(target, slo_ms) if target.name.startswith(OURS) else target
        return OpenLoad(told, phases, slo_ms=slo_ms)

    def _batch_sizes(self, target: Target, into: TargetRound, ends: float) -> None:
        """Batches while the load rises and falls."""
        if self._has_time(self.plan.ramp_s, ends, f"{target.name}, {target.workload}: batch sizes"):
            into.ramp_peak_per_s = _RAMP_PEAK * into.best_per_s
            load = self._open_load(target, ramp(into.ramp_peak_per_s, self.plan.ramp_s))
            into.batch_sizes = self.instruments.batch_sizes(load)

    def _has_time(self, seconds: float, ends: float, what: str) -> bool:
        """Begin a step that may be left out; whether there is time for it."""
        if self.clock() + seconds > ends:
            self.results.left_out.append(what)
            return False
        self.steps.more(1)
        self.steps.step(what)
        return True
