"""The tables of one workload in a benchmark's report."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from load_tests.document import Table
from load_tests.open_loop import TIMEOUT_HEADER
from load_tests.points import OpenPoint
from load_tests.results import BenchResults, ClosedRun, TargetRound
from load_tests.summary import (
    Figure,
    Spread,
    connections_of,
    parts_of,
    ratio,
    requests_per_s_at,
    spread,
    targets_of,
)
from load_tests.target import OURS

_EMPTY = "-"

Parts = Sequence[TargetRound]


class WorkloadTables:
    """The tables of one workload."""

    def __init__(self, results: BenchResults, workload: str, baseline: str) -> None:
        self._workload, self._baseline = workload, baseline
        targets = targets_of(results.rounds, workload)
        self._parts = {target: parts_of(results.rounds, workload, target) for target in targets}
        self._connections = connections_of([part for parts in self._parts.values() for part in parts])
        self._cost_at = results.plan.connections[-1]
        self._base = self._parts.get(baseline, [])

    @property
    def all(self) -> list[Table]:
        """Those that have something to show, in reading order."""
        tables = [self.throughput(), self.ratios(), self.our_factors(), self.latency(), self.cost(), self.goodput()]
        return [table for table in tables if table.rows]

    def throughput(self) -> Table:
        """Requests per second by connections."""
        return self._by_connections(
            "requests per second", lambda parts, at: _shown(parts, requests_per_s_at(at), ",.0f")
        )

    def ratios(self) -> Table:
        """The same, over the baseline's."""
        table = self._by_connections(
            f"requests per second, over those of {self._baseline}",
            lambda parts, at: _text(ratio(parts, self._base, requests_per_s_at(at)), ".2f"),
        )
        return table if self._base else Table(table.title, table.columns, ())

    def our_factors(self) -> Table:
        """How many times the throughput of each other server ours is."""
        ours = [target for target in self._parts if target.startswith(OURS)]
        points = [at for at in self._connections if at >= self._cost_at]
        rows = tuple(
            (
                other,
                *(
                    _text(ratio(self._parts[own], self._parts[other], requests_per_s_at(at)), ".2f")
                    for own in ours
                    for at in points
                ),
            )
            for other in self._parts
            if other not in ours
        )
        columns = tuple(f"{own}, {at} connections" for own in ours for at in points)
        return Table(f"{self._workload}: ours, over each other server", ("server", *columns), rows if ours else ())

    def latency(self) -> Table:
        """p50 and p99 by connections."""

        def cell(parts: Parts, at: int) -> str:
            """Both medians."""
            p50, p99 = (_median(parts, at, figure) for figure in (lambda r: r.point.p50_ms, lambda r: r.point.p99_ms))
            return f"{p50:.2f} / {p99:.2f}" if p50 is not None and p99 is not None else _EMPTY

        return self._by_connections("p50 / p99 in ms", cell)

    def cost(self) -> Table:
        """CPU, memory and failures."""
        at = self._cost_at
        rows = tuple(
            (
                target,
                _shown(parts, _cpu_at(at), ".3f"),
                _text(ratio(parts, self._base, _cpu_at(at)), ".2f"),
                _shown(parts, _pss_mb_at(at), ",.0f"),
                f"{sum(run.point.failed for part in parts for run in part.closed):,}",
            )
            for target, parts in self._parts.items()
        )
        columns = ("server", "CPU s per 1,000", f"over {self._baseline}", "PSS in MB", "failed")
        note = (
            f"At {at} connections; failures are of all points. Targets of one host share its processes: the memory of "
            "a Ray cluster is that of all its applications, and its CPU time includes their idling."
        )
        return Table(f"{self._workload}: what it costs", columns, rows, note)

    def goodput(self) -> Table:
        """The highest rate in time, and overload."""
        rows = tuple(
            (
                target,
                (">= " if any(part.goodput and part.goodput.is_bound for part in parts) else "")
                + _shown(parts, _goodput, ",.0f"),
                _text(ratio(parts, self._base, _goodput), ".2f"),
                _shown(parts, lambda part: part.goodput.overload_share if part.goodput else None, ".2f"),
                _shown(parts, _overload(lambda point: point.refused_per_s), ",.0f"),
                _shown(parts, _overload(lambda point: point.refused_p50_ms), ".1f"),
                _shown(parts, _overload(lambda point: point.refused_p99_ms), ".1f"),
                _shown(parts, _overload(lambda point: point.late_p99_ms), ".1f"),
            )
            for target, parts in self._parts.items()
            if any(part.goodput for part in parts)
        )
        columns = (
            "server",
            "highest rate in time, per s",
            f"over {self._baseline}",
            "goodput at 2x, of its peak",
            "refused per s at 2x",
            "their p50 ms",
            "their p99 ms",
            "generator's lateness, p99 ms at 2x",
        )
        note = f"{OURS} is told the objective with each request, by the header {TIMEOUT_HEADER}; the others are not."
        return Table(f"{self._workload}: open loop, Poisson arrivals", columns, rows, note)

    def _by_connections(self, what: str, cell: Callable[[Parts, int], str]) -> Table:
        columns = ("server", *(f"{at} connection{'s' if at > 1 else ''}" for at in self._connections))
        rows = tuple((target, *(cell(parts, at) for at in self._connections)) for target, parts in self._parts.items())
        return Table(f"{self._workload}: {what}", columns, rows)


def _at(part: TargetRound, connections: int, figure: Callable[[ClosedRun], float]) -> float | None:
    run = part.closed_at(connections)
    return figure(run) if run else None


def _median(parts: Parts, connections: int, figure: Callable[[ClosedRun], float]) -> float | None:
    found = spread(_at(part, connections, figure) for part in parts)
    return found.median if found else None


def _cpu_at(connections: int) -> Figure:
    return lambda part: _at(part, connections, lambda run: run.cpu_s_per_1000)


def _pss_mb_at(connections: int) -> Figure:
    return lambda part: _at(part, connections, lambda run: run.cost.pss_bytes / 2**20)


def _goodput(part: TargetRound) -> float | None:
    return part.goodput.rate_per_s if part.goodput else None


def _overload(figure: Callable[[OpenPoint], float]) -> Figure:
    return lambda part: figure(part.goodput.overload) if part.goodput and part.goodput.overload else None


def _shown(parts: Parts, figure: Figure, style: str) -> str:
    return _text(spread(map(figure, parts)), style)


def _text(found: Spread | None, style: str) -> str:
    """The median, and the range where there is one."""
    if found is None:
        return _EMPTY
    median = format(found.median, style)
    return median if found.low == found.high else f"{median} ({found.low:{style}} to {found.high:{style}})"
