"""`python -m load_tests.kept_pages`: what PyTorch's executions on a CPU cost, with freed pages kept and given back.

Processes of one thread execute the conv net without Ray, one process after the other: as the allocator does by itself,
and told as every release tells it (`deployments/memory.py`).
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import time
from collections.abc import Mapping, Sequence
from multiprocessing.queues import Queue
from typing import Annotated, NamedTuple

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from deployments.memory import keep_freed_pages

ROWS = (1, 8, 32, 64)
WARM_UP_EXECUTIONS = 5
START_LIMIT_S = 60


class Cost(NamedTuple):
    """Of executions of one size.

    Attributes:
        ms: CPU milliseconds of a row.
        faults: Page faults of an execution.
    """

    ms: float
    faults: float


Costs = Mapping[int, Cost]
"""By rows of an execution."""


def costs(seconds: float, *, is_kept: bool) -> Costs:
    """Measure in a process of its own.

    Args:
        seconds: For each size.
        is_kept: Whether the process keeps what it frees.
    """
    spawn = multiprocessing.get_context("spawn")
    measured: Queue[Costs] = spawn.Queue()
    process = spawn.Process(target=_work, args=(seconds, is_kept, measured), daemon=True)
    process.start()
    found = measured.get(timeout=START_LIMIT_S + 2 * seconds * len(ROWS))
    process.join()
    return found


def table(back: Sequence[Costs], kept: Sequence[Costs]) -> Table:
    """A row for each size: medians of the rounds, and of their ratios with the lowest and the highest."""
    shown = Table("rows", "ms a row", "page faults", "kept: ms a row", "page faults", "kept, of the other's time")
    for rows in ROWS:
        ratios = [one[rows].ms / other[rows].ms for one, other in zip(kept, back, strict=True)]
        shown.add_row(
            str(rows),
            *(
                text
                for rounds in (back, kept)
                for text in (
                    f"{statistics.median(one[rows].ms for one in rounds):.2f}",
                    f"{statistics.median(one[rows].faults for one in rounds):,.0f}",
                )
            ),
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
        )
    return shown


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.01, help="For each size in a turn.")] = 1.0,
) -> None:
    """Compare executions whose pages are kept with those whose are given back."""
    back, kept = list[Costs](), list[Costs]()
    for _ in track(range(rounds), "rounds"):
        back.append(costs(seconds, is_kept=False))
        kept.append(costs(seconds, is_kept=True))
    Console().print(table(back, kept))


def _work(seconds: float, is_kept: bool, measured: Queue[Costs]) -> None:
    import torch  # noqa: PLC0415 - 3 s, in the processes that execute

    from load_tests.conv_net import CHANNELS, SIDE, conv_net  # noqa: PLC0415 - imports torch

    torch.set_num_threads(1)
    net = conv_net().eval()
    if is_kept:
        keep_freed_pages()
    found: dict[int, Cost] = {}
    with torch.inference_mode():
        for rows in ROWS:
            images = torch.rand(rows, CHANNELS, SIDE, SIDE)
            for _ in range(WARM_UP_EXECUTIONS):
                net(images)
            executions, end = 0, time.perf_counter() + seconds
            faults, cpu_s = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.process_time()
            while not executions or time.perf_counter() < end:
                net(images)
                executions += 1
            cpu_s = time.process_time() - cpu_s
            faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
            found[rows] = Cost(1000 * cpu_s / executions / rows, faults / executions)
    measured.put(found)


if __name__ == "__main__":
    typer.run(main)
