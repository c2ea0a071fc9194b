"""A release in simulated time: replicas that execute batches, start late, report once a second, and are scaled."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from serve_app.autoscaling.history import Sample
from serve_app.autoscaling.memory import Memory, Situation
from serve_app.autoscaling.policy import decide
from serve_app.autoscaling.stats import Meter
from serve_app.batching.totals import Totals
from serve_app.config.scaling import ScalingArgs
from serve_app.types import ReleaseInfo
from support.arithmetic import INFO


@dataclass(frozen=True)
class Machine:
    """What one replica can do: a batch of n rows takes `call_s + n * row_s`; and how Ray is set."""

    call_s: float = 0.0
    row_s: float = 0.1
    max_rows: int = 1
    promised: float = 1.0  # how much faster it is in its learned latencies than in truth
    deadline_s: float = float("inf")  # rows that waited for so long are missed
    start_s: float = 6.0
    most: int = 4
    look_back_s: float = 15.0
    upscale_delay_s: float = 1.0
    downscale_delay_s: float = 45.0

    def batch_s(self, rows: int) -> float:
        return self.call_s + rows * self.row_s

    @property
    def capacity(self) -> float:
        """Rows a second."""
        return self.max_rows / self.batch_s(self.max_rows)

    @property
    def info(self) -> ReleaseInfo:
        profile = {rows: 1000 * self.batch_s(rows) / self.promised for rows in (1, self.max_rows)}
        return replace(INFO, max_rows=self.max_rows, profile=profile)


class Replica:
    """Executes what waits, in batches as large as they come."""

    def __init__(self, machine: Machine, name: str, now: float) -> None:
        self.name, self.now, self._machine = name, now, machine
        self.waiting: deque[float] = deque()
        self.waits_s: list[float] = []
        self._free_at, self._rows, self._busy_s, self._missed = now, 0, 0.0, 0
        self._meter = Meter(lambda: self.now)
        self.reports: deque[Sample] = deque()

    def run_until(self, until: float) -> None:
        while self.waiting and (starts := max(self._free_at, self.waiting[0])) < until:
            batch: list[float] = []
            while self.waiting and self.waiting[0] <= starts and len(batch) < self._machine.max_rows:
                arrived = self.waiting.popleft()
                if starts - arrived > self._machine.deadline_s:
                    self._missed += 1
                else:
                    batch.append(arrived)
            if batch:
                took = self._machine.batch_s(len(batch))
                self._free_at = starts + took
                self._rows += len(batch)
                self._busy_s += took
                self.waits_s += [starts - arrived for arrived in batch]
        self.now = until

    def report(self) -> None:
        waiting = sum(arrived <= self.now for arrived in self.waiting)
        totals = Totals(self._rows, self._busy_s, self._missed, 0, waiting)
        self.reports.append(Sample(self.now, self._meter.read(totals, self._machine.info)))
        while self.reports[0].at < self.now - self._machine.look_back_s:
            self.reports.popleft()


@dataclass
class RayDelays:
    """What Ray does with a wish: it must last so long without a break."""

    machine: Machine
    since: float | None = None
    direction: int = 0

    def apply(self, wished: int, target: int, now: float) -> int:
        direction = (wished > target) - (wished < target)
        if direction != self.direction:
            self.direction, self.since = direction, now
        delay_s = self.machine.upscale_delay_s if direction > 0 else self.machine.downscale_delay_s
        if direction == 0 or now - (self.since or 0.0) < delay_s:
            return target
        self.direction = 0
        return wished


@dataclass
class Release:
    """Replicas of one machine, under the policy."""

    machine: Machine = field(default_factory=Machine)
    args: ScalingArgs = field(default_factory=ScalingArgs)
    now: float = 0.0
    target: int = 1
    changes: list[tuple[float, int]] = field(default_factory=list)
    served: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._memory, self._delays, self._made, self._turn = Memory(), RayDelays(self.machine), 0, 0
        self.starting: list[tuple[float, Replica]] = []
        self.running: list[Replica] = [self._new()]
        self._leaving: list[Replica] = []

    def _new(self) -> Replica:
        self._made += 1
        return Replica(self.machine, f"r{self._made}", self.now)

    @property
    def waiting(self) -> int:
        """Rows that wait now, at replicas that leave too."""
        return sum(len(replica.waiting) for replica in (*self.running, *self._leaving))

    def run(self, arrivals: Iterable[float]) -> None:
        """Serve rows that arrive at these times, ascending, in reports of a second, until the last one has arrived."""
        later = deque(arrivals)
        while later:
            self.now += 1.0
            while later and later[0] <= self.now:
                self._turn += 1
                self.running[self._turn % len(self.running)].waiting.append(later.popleft())
            for replica in (*self.running, *self._leaving):
                replica.run_until(self.now)
                replica.report()
            self._scale()

    def _scale(self) -> None:
        ready = [replica for at, replica in self.starting if at <= self.now]
        self.starting = [(at, replica) for at, replica in self.starting if at > self.now]
        for replica in ready:
            self.running.append(Replica(self.machine, replica.name, self.now))
            self.served.append((self.now, len(self.running)))
        self._memory = decide(self.args, self._situation(), Memory.of(self._memory.as_state()))
        wanted = max(1, min(self.machine.most, self._delays.apply(self._memory.desired, self.target, self.now)))
        if wanted == self.target:
            return
        self.changes.append((self.now, wanted))
        self.starting += [(self.now + self.machine.start_s, self._new()) for _ in range(wanted - self.target)]
        self._leaving += self.running[wanted:]
        self.running, self.target = self.running[: max(wanted, 1)], wanted

    def _situation(self) -> Situation:
        return Situation(
            now=self.now,
            target=self.target,
            running=frozenset(replica.name for replica in self.running),
            latest=self.now,
            reports=lambda: {replica.name: tuple(replica.reports) for replica in self.running if replica.reports},
            look_back_s=self.machine.look_back_s,
            hold_off_s=self.machine.downscale_delay_s,
            least=1,
            most=self.machine.most,
        )
