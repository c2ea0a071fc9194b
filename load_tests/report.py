"""Writes a benchmark's report: figures as JSON, tables and plots as Markdown and as one HTML page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from load_tests.document import Part, Picture, Table, Text, html, markdown
from load_tests.host_noise import SLOW
from load_tests.plots import Plot, draw_all
from load_tests.results import BenchResults
from load_tests.summary import workloads_of
from load_tests.tables import WorkloadTables

TITLE = "Benchmark"


def write_report(results: BenchResults, baseline: str, folder: Path) -> None:
    """Write `results.json`, the plots, `report.md` and `index.html`, which holds all of it but the JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_bytes(results.json)
    parts = parts_of_report(results, baseline, draw_all(results, folder))
    (folder / "report.md").write_text(markdown(TITLE, parts))
    (folder / "index.html").write_text(html(TITLE, parts, folder))


def parts_of_report(results: BenchResults, baseline: str, plots: Sequence[Plot] = ()) -> list[Part]:
    """The whole report: how it was measured, then for each workload its tables and plots."""
    parts: list[Part] = [Text(_how(results)), Text(_noise(results))]
    for workload in workloads_of(results.rounds):
        parts += WorkloadTables(results, workload, baseline).all
        parts += [Picture(plot.title, plot.file) for plot in plots if plot.workload == workload]
    if results.limits:
        rows = [
            (limit.name, limit.workload, f"{limit.rows_per_s:,.0f}", f"{limit.cpu_s_per_1000_rows:.4f}")
            for limit in results.limits
        ]
        parts.append(Table("The runtime alone", ("", "workload", "rows/s", "CPU s per 1,000 rows"), tuple(rows)))
    if results.unavailable:
        rows_of_missing = tuple((missing.host, missing.reason) for missing in results.unavailable)
        parts.append(Table("Not measured", ("server", "why"), rows_of_missing))
    if results.left_out:
        times = Counter(results.left_out).items()
        names = "; ".join(what if number == 1 else f"{what} ({number} times)" for what, number in times)
        parts.append(Text(f"Left out, because the time of this run was over: {names}."))
    return parts + [Text(f"Note: {note}") for note in results.notes]


def _how(results: BenchResults) -> str:
    plan = results.plan
    tools = sorted({run.point.tool for part in results.rounds for run in part.closed})
    return (
        f"`{results.command}` on {results.date}: {results.machine}. {plan.rounds} interleaved round(s), closed loops "
        f"of {plan.point_s:g} s a point by {' and '.join(tools) or 'nothing'}, open loops of "
        f"{plan.goodput.seconds:g} s. The load generator runs on the same machine and takes its share of it. Figures "
        "are medians over the rounds with the lowest and highest; ratios are formed within a round. Machines drift: "
        "read ratios, not absolute values."
    )


def _noise(results: BenchResults) -> str:
    rounds = "; ".join(map(str, results.noise)) or "not measured"
    return (
        f"Before each round, with nothing beside it, a CPU of this machine ran below {1 / SLOW:g} of its usual speed: "
        f"{rounds}. Where that is more than 1%, in stretches that are long beside the objective, a server that is busy "
        "for much of the time falls behind with more than 1% of its requests: open loops say more of the machine then "
        "than of the servers."
    )
