"""What a controller works with: a database in memory, gateways that report, applications that can be deleted."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from serve_app.config.gateway import TrafficTable
from serve_app.errors import ControllerAway
from serve_app.release.counts import ArmCounts
from serve_app.release.messages import GatewayReport, LiveTable
from serve_app.release.records import (
    CountsRecord,
    Event,
    Forgotten,
    LockRecord,
    Retirement,
    RolloutRecord,
    Saved,
    UnloadedApplication,
)


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def passes(self, seconds: float) -> None:
        self.now_s += seconds


class MemoryStore:
    """A database whose content outlives its controllers; silent without `answers`; `away`: why it cannot be asked."""

    def __init__(self) -> None:
        self.rollouts: dict[str, RolloutRecord] = {}
        self.retirements: dict[str, Retirement] = {}
        self.counts: dict[tuple[str, str, str], CountsRecord] = {}
        self.all_events: dict[str, Event] = {}
        self.unloaded: dict[str, UnloadedApplication] = {}
        self.revision = 0
        self.away = ""
        self.lock: LockRecord | None = None
        self.saves = 0
        self.answers = threading.Event()
        self.answers.set()

    def load(self) -> Saved:
        self._check()
        return Saved(
            self.revision,
            tuple(self.rollouts.values()),
            tuple(self.counts.values()),
            tuple(self.retirements.values()),
            tuple(self.unloaded.values()),
        )

    def save(self, changes, revision=None) -> None:
        self.answers.wait()
        self._check()
        self.saves += 1
        for change in changes:
            if isinstance(change, RolloutRecord):
                self.rollouts[change.model] = change
            elif isinstance(change, Retirement):
                self.retirements[change.release] = change
            elif isinstance(change, CountsRecord):
                self.counts[change.window, change.version, change.gateway] = change
            elif isinstance(change, Event):
                self.all_events[change.id] = change
            elif isinstance(change, UnloadedApplication):
                self.unloaded[change.name] = change
            elif isinstance(change, Forgotten):
                {"retirement": self.retirements, "unloaded": self.unloaded}[change.kind].pop(change.key, None)
        self.revision = self.revision if revision is None else revision

    def events(self, limit, model="") -> list[Event]:
        self._check()
        return [event for event in reversed(self.all_events.values()) if not model or event.model == model][:limit]

    def acquire_lock(self, name, owner, now_s, for_s) -> LockRecord:
        self._check()
        if self.lock is None or self.lock.expires_s <= now_s or self.lock.owner == owner:
            self.lock = LockRecord(owner, now_s + for_s)
        return self.lock

    def release_lock(self, name, owner) -> None:
        self._check()
        if self.lock is not None and self.lock.owner == owner:
            self.lock = None

    def prune(self, before_s) -> None:
        self._check()
        self.all_events = {key: event for key, event in self.all_events.items() if event.time_s >= before_s}

    def close(self) -> None:
        pass

    def _check(self) -> None:
        if self.away:
            raise ControllerAway(self.away)


class FakeApplications:
    """Applications by name; `fault` is raised by every change."""

    def __init__(self, *names: str) -> None:
        self.configs = {name: {"name": name} for name in names}
        self.fault: Exception | None = None

    async def running(self):
        return dict(self.configs)

    async def deploy(self, applications) -> None:
        if self.fault:
            raise self.fault
        self.configs |= {application["name"]: application for application in applications}

    async def delete(self, names) -> None:
        if self.fault:
            raise self.fault
        for name in names:
            self.configs.pop(name, None)


class FakeGateway:
    """A gateway replica: reports what it was told to, and obeys the live table as the real one does."""

    def __init__(self, name: str, table: Mapping[str, object], *ready: str) -> None:
        self.name, self.ready = name, set(ready)
        self.live = LiveTable()
        self.counts: dict[str, dict[str, ArmCounts]] = {}
        self.feedback: tuple = ()
        self.declare(table)

    def declare(self, table: Mapping[str, object]) -> None:
        self.table = TrafficTable.model_validate({"models": table})

    def report(self) -> GatewayReport:
        models = self.table.models
        return GatewayReport(
            self.name,
            self.live.revision,
            {model: entry.fingerprint for model, entry in models.items()},
            self.table.model_dump(mode="json") if self.live.wants_declared else None,
            {
                model: {
                    version: "" if f"{model}-{version}" in self.ready else "it is starting"
                    for version in {*entry.versions, *self._live_versions(model)}
                }
                for model, entry in models.items()
            },
            self.counts,
            self.feedback,
        )

    async def exchange(self, controller) -> None:
        """Report, and once more if the controller asks for the declared table."""
        self.live = await controller.exchange(self.report())
        if self.live.wants_declared:
            self.live = await controller.exchange(self.report())

    def traffic(self, model: str) -> dict[str, float]:
        """Who answers there, without those who get nothing."""
        entry, live = self.table.models[model], self.live.models.get(model)
        weights = live.traffic if live is not None and live.base == entry.fingerprint else entry.traffic
        return {version: weight for version, weight in weights.items() if weight}

    def window(self, model: str) -> str:
        live = self.live.models.get(model)
        return live.window if live is not None else ""

    def counted(self, model: str, version: str, **counts) -> None:
        """Count more in the present window."""
        arms = self.counts.setdefault(self.window(model), {})
        arms[version] = arms.get(version, ArmCounts()) + ArmCounts(**counts)

    def _live_versions(self, model: str) -> set[str]:
        live, fingerprint = self.live.models.get(model), self.table.models[model].fingerprint
        if live is None:
            return set()
        return {*live.kept, *(live.traffic if live.base == fingerprint else ())}
