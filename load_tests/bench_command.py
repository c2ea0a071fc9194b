"""The `bench` command: ours, the limits and the alternatives, measured in one run and reported."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from load_tests.bench import Bench
from load_tests.instruments import RealInstruments
from load_tests.machine import this_machine
from load_tests.models import BENCH
from load_tests.plan import FULL, QUICK, Plan
from load_tests.progress import Bars
from load_tests.report import write_report
from load_tests.results import BenchResults
from load_tests.servers import hosts, limits
from load_tests.servers.offers import threads_note
from load_tests.servers.registry import WORKLOADS
from load_tests.target import OURS
from load_tests.wrk import INSTALL, find_wrk

QUICK_NOTE = (
    "A quick run: one round of short points, for a first look. Figures to keep come from `bench` without --quick."
)
NO_WRK_NOTE = f"wrk is not installed (`{INSTALL}`): closed loops are made in Python, which takes more of the machine."


def bench(  # noqa: PLR0913 - a command's parameters are its options
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Ends within 5 minutes: few servers, one short round.")
    ] = False,
    peers: Annotated[
        bool, typer.Option("--peers", help="Also LitServe, BentoML and others, each installed once.")
    ] = False,
    rounds: Annotated[int, typer.Option(min=0, help="How often each target is measured; 0 for the plan's.")] = 0,
    seconds: Annotated[int, typer.Option(min=0, help="Length of a closed-loop point; 0 for the plan's.")] = 0,
    runs: Annotated[int, typer.Option(min=0, help="Of an open loop at each rate; most decide. 0 for the plan's.")] = 0,
    workload: Annotated[str, typer.Option(help="Only this one: digits or cnn.")] = "",
    minutes: Annotated[float, typer.Option(min=0, help="Leave goodput out once this is over; 0 for the plan's.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = BENCH,
    baseline: Annotated[str, typer.Option(help="Target whose figures the others' are divided by.")] = OURS,
    processes: Annotated[int, typer.Option(min=1, help="Of the open-loop generator.")] = 1,
) -> None:
    """Measure servers on the same models in one run and write a report with tables and plots."""
    wrk, plan = find_wrk(), plan_of(quick=quick, rounds=rounds, seconds=seconds, minutes=minutes, runs=runs)
    results = BenchResults(command_line(sys.argv[1:]), f"{datetime.now(UTC):%Y-%m-%d}", this_machine(), plan)
    results.notes += [threads_note(), *[QUICK_NOTE] * quick, *[NO_WRK_NOTE] * (wrk is None)]
    todo = hosts(workload_names(workload), quick=quick, peers=peers)
    console = Console()
    try:
        with warnings_noted(results), Bars(len(todo) * plan.rounds, console) as bars:
            results.limits = limits()
            Bench(plan, RealInstruments(wrk, processes), bars, results).run(todo)
    finally:  # also after Ctrl-C: what was measured is worth having
        write_report(results, baseline, out)
        console.print(f"the report is {out / 'index.html'}, its tables also in {out / 'report.md'}")
    raise typer.Exit(0 if results.rounds else 1)


def plan_of(*, quick: bool, rounds: int, seconds: int, minutes: float, runs: int) -> Plan:
    """The plan with what is given instead of its own.

    Raises:
        BadParameter: So many runs have no middle one.
    """
    if runs and runs % 2 == 0:
        raise typer.BadParameter(f"--runs {runs}: an odd number has a middle one")
    plan = QUICK if quick else FULL
    return replace(
        plan,
        rounds=rounds or plan.rounds,
        point_s=seconds or plan.point_s,
        limit_s=minutes * 60.0 or plan.limit_s,
        goodput=replace(plan.goodput, runs=runs or plan.goodput.runs),
    )


def workload_names(name: str) -> list[str]:
    """The names of the workloads to measure: all, if none is given.

    Raises:
        BadParameter: There is none of that name.
    """
    if name and name not in WORKLOADS:
        raise typer.BadParameter(f"--workload {name}: there are {' and '.join(WORKLOADS)}")
    return [name] if name else list(WORKLOADS)


def command_line(arguments: list[str]) -> str:
    """The command as a reader can repeat it."""
    return " ".join(["python -m load_tests", *(arguments or ["bench --quick"])])


@contextmanager
def warnings_noted(results: BenchResults) -> Iterator[None]:
    """Warnings of this package, such as a target that is left out, are notes of the report."""
    handler = _Notes(results)
    logger = logging.getLogger("load_tests")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Notes(logging.Handler):
    def __init__(self, results: BenchResults) -> None:
        super().__init__(logging.WARNING)
        self._results = results

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message once, however many rounds repeat it."""
        if (message := record.getMessage()) not in self._results.notes:
            self._results.notes.append(message)
