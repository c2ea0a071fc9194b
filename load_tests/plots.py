"""The plots of a benchmark: throughput against latency, goodput over offered load, batch size over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from load_tests.results import BenchResults, TargetRound
from load_tests.summary import connections_of, parts_of, requests_per_s_at, spread, targets_of, workloads_of

_SIZE_INCHES, _DPI = (9.0, 5.0), 130
_COLOURS = (
    "#1f77b4",
    "#d62728",
    "#2ca02c",
    "#9467bd",
    "#ff7f0e",
    "#8c564b",
    "#e377c2",
    "#7f7f7f",
    "#bcbd22",
    "#17becf",
)


@dataclass(frozen=True, slots=True)
class Plot:
    """A PNG file of one workload."""

    title: str
    workload: str
    file: str


def draw_all(results: BenchResults, folder: Path) -> list[Plot]:
    """Draw into a folder what the results have figures for."""
    plots = []
    for workload in workloads_of(results.rounds):
        rounds = [part for part in results.rounds if part.workload == workload]
        plots.append(_draw(f"{workload}: latency over throughput", workload, "latency", folder, rounds, _latency))
        if any(part.goodput for part in rounds):
            plots.append(_draw(f"{workload}: goodput over offered load", workload, "goodput", folder, rounds, _goodput))
        if any(part.batch_sizes for part in rounds):
            plots.append(_draw(f"{workload}: batch size over time", workload, "batches", folder, rounds, _batches))
    return plots


def _draw(
    title: str,
    workload: str,
    kind: str,
    folder: Path,
    rounds: Sequence[TargetRound],
    draw: Callable[[Axes, Sequence[TargetRound], dict[str, str]], None],
) -> Plot:
    figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    targets = targets_of(rounds, workload)
    draw(axes, rounds, {target: _COLOURS[index % len(_COLOURS)] for index, target in enumerate(targets)})
    axes.set_title(title)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8)
    file = f"{workload}-{kind}.png"
    figure.savefig(folder / file)
    return Plot(title, workload, file)


def _latency(axes: Axes, rounds: Sequence[TargetRound], colours: dict[str, str]) -> None:
    """One curve a target through its numbers of connections: p50 as a line, p99 dashed."""
    for target, colour in colours.items():
        parts = parts_of(rounds, rounds[0].workload, target)
        for quantile, style in (("p50_ms", "-"), ("p99_ms", ":")):
            points = [
                (throughput.median, latency.median)
                for at in connections_of(parts)
                if (throughput := spread(map(requests_per_s_at(at), parts)))
                and (latency := spread(_latency_at(part, at, quantile) for part in parts))
            ]
            label = target if quantile == "p50_ms" else None
            axes.plot(*_columns(points), style, color=colour, marker="o", markersize=4, label=label)
    axes.set(xlabel="requests per second", ylabel="latency in ms: p50, dotted p99", xscale="log", yscale="log")


def _latency_at(part: TargetRound, connections: int, quantile: str) -> float | None:
    run = part.closed_at(connections)
    if run is None:
        return None
    latency: float = getattr(run.point, quantile)
    return latency


def _goodput(axes: Axes, rounds: Sequence[TargetRound], colours: dict[str, str]) -> None:
    """Every run of every search; the diagonal is where everything comes in time."""
    most = 0.0
    for target, colour in colours.items():
        parts = [part.goodput for part in parts_of(rounds, rounds[0].workload, target) if part.goodput]
        points = sorted((point.offered_per_s, point.goodput_per_s) for found in parts for point in found.points)
        most = max([most, *(goodput for _, goodput in points)])
        if points:
            axes.plot(*_columns(points), "-", color=colour, marker="o", markersize=4, label=target)
    axes.plot([0, most], [0, most], color="#999999", linewidth=1, linestyle="--", label="all in time")
    axes.set(xlabel="offered, requests per second", ylabel="answered in time, per second")


def _batches(axes: Axes, rounds: Sequence[TargetRound], colours: dict[str, str]) -> None:
    """Rows per batch; dotted, on its own scale, the rows executed in a second."""
    load = axes.twinx()
    for part in rounds:
        if part.batch_sizes:
            times = [sample.ends_s for sample in part.batch_sizes]
            rows = [sample.rows_per_batch for sample in part.batch_sizes]
            axes.step(times, rows, where="pre", color=colours[part.target], label=part.target)
            load.plot(times, [sample.rows_per_s for sample in part.batch_sizes], ":", color=colours[part.target])
    axes.set(xlabel="seconds", ylabel="rows per batch")
    load.set(ylabel="dotted: rows per second")


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
