"""The gateway replicas as the controller knows them: from what each of them reported last."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping

from serve_app.config.gateway import TrafficTable
from serve_app.release.counts import ArmCounts
from serve_app.release.messages import Feedback, GatewayReport
from serve_app.release.records import CountsRecord

ALIVE_S = 4.0  # a gateway not heard of for longer is taken to be gone; it reports once a second
RELAY_S = 5.0  # how long feedback for others' requests is told to each gateway; whoever knows it counts it once
MAX_RELAYED = 50_000
KEPT_WINDOWS = 2000


class Gateways:
    """What gateways reported.

    Args:
        clock: Seconds; may be set, also back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._reports: dict[str, tuple[GatewayReport, float]] = {}
        self._counts: dict[str, dict[str, dict[str, ArmCounts]]] = {}
        self._relayed: deque[tuple[float, str, Feedback]] = deque(maxlen=MAX_RELAYED)
        self.declared: TrafficTable | None = None
        self._prints: Mapping[str, str] = {}
        self._given: dict[str, dict[tuple[str, str], ArmCounts]] = {}

    def heard(self, report: GatewayReport) -> None:
        """Take a report in."""
        now = self._clock()
        self._reports[report.gateway] = (report, now)
        if report.declared is not None:
            self.declared = TrafficTable.model_validate(report.declared)
            self._prints = {model: entry.fingerprint for model, entry in self.declared.models.items()}
        for window, by_version in report.counts.items():
            for version, counts in by_version.items():
                self.restore(CountsRecord(window, version, report.gateway, counts))
        self._relayed.extend((now, report.gateway, item) for item in report.feedback)

    def restore(self, record: CountsRecord) -> None:
        """Take counters in, from a report or from before a restart."""
        window = self._counts.pop(record.window, {})  # the one that was reported last is the last to be forgotten
        while len(self._counts) >= KEPT_WINDOWS:
            self.forget(next(iter(self._counts)))
        self._counts[record.window] = window
        window.setdefault(record.version, {})[record.gateway] = record.counts

    def forget(self, window: str) -> None:
        """Drop the counters of a window."""
        self._counts.pop(window, None)
        self._given.pop(window, None)

    @property
    def alive(self) -> tuple[GatewayReport, ...]:
        """The last report of each gateway that is there."""
        now = self._clock()
        self._reports = {name: (r, at) for name, (r, at) in self._reports.items() if abs(now - at) <= ALIVE_S}
        return tuple(report for report, _ in self._reports.values())

    def ages_s(self) -> Mapping[str, float]:
        """Seconds since the last report of each gateway that is there."""
        now = self._clock()
        return {report.gateway: now - self._reports[report.gateway][1] for report in self.alive}

    def fingerprint(self, model: str) -> str | None:
        """Of the declared entry that all gateways agree on; None while they do not, or there are none."""
        told = {report.fingerprints.get(model, "") for report in self.alive}
        return told.pop() or None if len(told) == 1 else None

    def declared_fingerprint(self, model: str) -> str | None:
        """Of the model's entry in `declared`; None if it has none."""
        return self._prints.get(model)

    @property
    def wants_declared(self) -> bool:
        """Whether the declared table that is known here is not the one that gateways have."""
        return any(dict(report.fingerprints) != self._prints for report in self.alive)

    def reasons(self, model: str, versions: Iterable[str]) -> dict[str, str]:
        """Why versions cannot be called somewhere; empty for those that can be at every gateway."""
        reports = self.alive
        if not reports:
            return dict.fromkeys(versions, "no gateway reports")
        return {version: _first_reason(reports, model, version) for version in versions}

    def ready_at(self, model: str, version: str) -> int:
        """How many gateways can call the version."""
        return sum(report.readiness.get(model, {}).get(version, "unknown") == "" for report in self.alive)

    def known_versions(self, model: str) -> tuple[str, ...]:
        """Version tags that any gateway knows."""
        return tuple(sorted({version for report in self.alive for version in report.readiness.get(model, {})}))

    def counts(self, window: str) -> dict[str, ArmCounts]:
        """Of all gateways, also of those that are gone, by version tag."""
        return {
            version: sum(by_gateway.values(), ArmCounts())
            for version, by_gateway in self._counts.get(window, {}).items()
        }

    def records(self, window: str) -> list[CountsRecord]:
        """A window's counters as they are kept."""
        return [
            CountsRecord(window, version, gateway, counts)
            for version, by_gateway in self._counts.get(window, {}).items()
            for gateway, counts in by_gateway.items()
        ]

    def changed_records(self, window: str) -> list[CountsRecord]:
        """Those of `records` that were reported since the last call: gateways that are gone report no more."""
        given = self._given.get(window, {})
        changed = [one for one in self.records(window) if given.get((one.version, one.gateway)) is not one.counts]
        if changed:
            self._given[window] = given | {(one.version, one.gateway): one.counts for one in changed}
        return changed

    def feedback_for(self, gateway: str) -> tuple[Feedback, ...]:
        """What came in elsewhere in the last seconds; told more than once, because an answer may be lost."""
        now = self._clock()
        while self._relayed and abs(now - self._relayed[0][0]) > RELAY_S:
            self._relayed.popleft()
        return tuple(item for _, source, item in self._relayed if source != gateway)


def _first_reason(reports: Iterable[GatewayReport], model: str, version: str) -> str:
    unknown = "the gateway's traffic table does not name it"
    return next(filter(None, (report.readiness.get(model, {}).get(version, unknown) for report in reports)), "")
