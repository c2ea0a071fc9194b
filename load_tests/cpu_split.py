"""`python -m load_tests.cpu_split`: which threads of which processes a request takes CPU time of.

Closed loops by wrk on digits v1 and the conv net through both doors, gateway and release apart, in a cluster with what
`load_tests bench` has in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from load_tests import wrk
from load_tests.accounting import cpu_s_by_thread
from load_tests.models import cnn, digits
from load_tests.servers.ray_clusters import serve_app_host
from load_tests.target import OURS

LEAST_US = 2.0  # of a request; a process that takes less has no row of its own
SHOWN = 3  # threads of a process
WARM_UP_S = 2.0

Threads = Mapping[str, Mapping[int, float]]
"""CPU seconds of each thread by its id, of each process."""


def split_us(before: Threads, after: Threads, requests: int) -> dict[str, list[float]]:
    """Microseconds of CPU a request, of each process's threads, the greatest first, as the processes are.

    Args:
        before: What they had taken before so many requests.
        after: The same behind them; threads that began meanwhile are in it with all that they took.
        requests: Answered between the two.
    """
    split = {}
    for process, threads in after.items():
        began = before.get(process, {})
        taken = (1e6 * (cpu_s - began.get(thread, 0.0)) / requests for thread, cpu_s in threads.items())
        split[process] = sorted(taken, reverse=True)
    return dict(sorted(split.items(), key=lambda one: -sum(one[1])))


def table(title: str, split: Mapping[str, list[float]]) -> Table:
    """A row for each process that takes something, one for the rest, and one for all."""
    shown = Table("process", "us a request", "of its threads", title=title)
    told = {process: threads for process, threads in split.items() if sum(threads) >= LEAST_US}
    for process, threads in told.items():
        shown.add_row(process, f"{sum(threads):.1f}", ", ".join(f"{us:.1f}" for us in threads[:SHOWN]))
    rest = [sum(threads) for process, threads in split.items() if process not in told]
    shown.add_row(f"{len(rest)} others", f"{sum(rest):.1f}", "")
    shown.add_row("all", f"{sum(map(sum, split.values())):.1f}", "")
    return shown


def main(
    seconds: Annotated[float, typer.Option(min=1, help="Of each loop.")] = 8.0,
    connections: Annotated[int, typer.Option(min=1, help="How many send at a time.")] = 64,
) -> None:
    """Serve, put the loads on it, and tell what each took."""
    program = wrk.needed_wrk()
    console = Console()
    with serve_app_host((digits(), cnn()), quick=True).running() as targets:
        for target in track([one for one in targets if one.name.startswith(OURS)], "loops"):
            wrk.run(program, target, connections, WARM_UP_S)
            before = cpu_s_by_thread(target.pids)
            point = wrk.run(program, target, connections, seconds)
            split = split_us(before, cpu_s_by_thread(target.pids), point.answers)
            title = f"{target.name}, {target.workload}: {point.requests_per_s:,.0f} requests/s, {point.failed} failed"
            console.print(table(title, split))


if __name__ == "__main__":
    typer.run(main)
