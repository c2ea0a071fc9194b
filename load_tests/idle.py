"""`python -m load_tests.idle`: what a server takes of the CPU while nobody asks it anything."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from load_tests.models import ROOT
from load_tests.soak.production import serving

LEAST_MS = 1.0  # a process that takes less has no row of its own


def costs_ms(before: Mapping[str, float], after: Mapping[str, float], seconds: float) -> dict[str, float]:
    """Milliseconds of CPU that each process took a second, the greatest first; of one that began meanwhile all it took.

    Args:
        before: CPU seconds of each process.
        after: The same so many seconds later; who ended meanwhile is not in it, and not told.
        seconds: Between the two.
    """
    costs = {name: 1000 * (cpu_s - before.get(name, 0.0)) / seconds for name, cpu_s in after.items()}
    return dict(sorted(costs.items(), key=lambda cost: -cost[1]))


def table(costs: Mapping[str, float]) -> Table:
    """A row for each process that takes something, one for the rest, and one for all."""
    shown = Table("process", "ms CPU a second")
    told = {name: ms for name, ms in costs.items() if ms >= LEAST_MS}
    for name, ms in told.items():
        shown.add_row(name, f"{ms:.1f}")
    total = sum(costs.values())
    shown.add_row(f"{len(costs) - len(told)} others", f"{total - sum(told.values()):.1f}")
    shown.add_row("all", f"{total:.1f}")
    return shown


def main(
    seconds: Annotated[float, typer.Option(min=1, help="How long it is watched.")] = 30.0,
    settle_s: Annotated[float, typer.Option(min=0, help="How long it is left alone before.")] = 30.0,
    config: Annotated[Path, typer.Option(help="A serve file.")] = ROOT / "configs/prod.yaml",
) -> None:
    """Serve a file, leave it alone, and read its CPU time."""
    with serving(config) as server:
        _pass(settle_s, "settling")
        before, began = server.cpu_s(), time.perf_counter()
        _pass(seconds, "watching")
        after, took_s = server.cpu_s(), time.perf_counter() - began
    Console().print(table(costs_ms(before, after, took_s)))


def _pass(seconds: float, what: str) -> None:
    for _ in track(range(100), what):
        time.sleep(seconds / 100)


if __name__ == "__main__":
    typer.run(main)
