"""`python -m load_tests.thread_contention`: replicas that share cores, with a thread each and with more.

As many processes as there are cores execute the conv net, first without a pause and then with one after every
execution, under each way of setting ONNX Runtime's threads in turn, round after round, and a table compares them.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from typing import Annotated

import numpy as np
import onnxruntime as ort
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from load_tests.models import Workload, cnn
from serve_app.runtimes.onnx_session import SPIN_IN_RUNS_ONLY

WARM_UP_EXECUTIONS = 10
START_LIMIT_S = 60
IDLE_PAUSE_S = 0.01


@dataclass(frozen=True, slots=True)
class Setting:
    """How a session executes.

    Attributes:
        threads: Of one execution; 0 is ONNX Runtime's default, one a core.
        session: What it is configured with; by default a thread without work spins for a while before it sleeps.
    """

    threads: int
    session: Mapping[str, str]


SETTINGS: Mapping[str, Setting] = {
    "a thread each (ours)": Setting(1, {}),
    "a thread a core (ONNX Runtime's default)": Setting(0, {}),
    "a thread a core, spinning in an execution (ours with runtime.threads)": Setting(0, SPIN_IN_RUNS_ONLY),
    "a thread a core, asleep when idle": Setting(0, {"session.intra_op.allow_spinning": "0"}),
}
OURS, *OTHERS = SETTINGS


@dataclass(frozen=True, slots=True)
class Share:
    """What one process did in a round.

    Attributes:
        cpu_s: CPU seconds that its threads used.
    """

    executions: int
    seconds: float
    cpu_s: float


Round = Mapping[str, Sequence[Share]]
"""The shares of all processes by the name of the setting they ran with."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """One setting over another, of figures from the same round: the median round, the lowest and the highest."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def rate_per_s(shares: Sequence[Share]) -> float:
    """Executions a second of all processes together."""
    return sum(share.executions / share.seconds for share in shares)


def cpu_ms(shares: Sequence[Share]) -> float:
    """CPU milliseconds of one execution."""
    return 1000 * sum(share.cpu_s for share in shares) / sum(share.executions for share in shares)


def rate_ratio(rounds: Sequence[Round], setting: str, base: str) -> Ratio:
    """Executions a second with `setting` over those with `base`."""
    return _ratio([rate_per_s(each[setting]) / rate_per_s(each[base]) for each in rounds])


def cpu_ratio(rounds: Sequence[Round], setting: str, base: str) -> Ratio:
    """CPU time of an execution with `setting` over that with `base`."""
    return _ratio([cpu_ms(each[setting]) / cpu_ms(each[base]) for each in rounds])


def main(
    rounds: Annotated[int, typer.Option(help="Rounds of every setting.", min=1)] = 5,
    seconds: Annotated[float, typer.Option(help="Length of one setting's turn.")] = 2.0,
    processes: Annotated[int, typer.Option(help="Replicas; 0 takes one a core.", min=0)] = 0,
    batch_rows: Annotated[int, typer.Option(help="Images of one execution.", min=1)] = 1,
) -> None:
    """Compare the settings while the replicas are busy, and while they are mostly idle."""
    workload, count = cnn(), processes or len(os.sched_getaffinity(0))
    for title, pause_s in (("busy", 0.0), (f"{1000 * IDLE_PAUSE_S:.0f} ms pause after each", IDLE_PAUSE_S)):
        task = _Task(workload, batch_rows, seconds, pause_s)
        done = [
            {name: _run(task, setting, count) for name, setting in SETTINGS.items()}
            for _ in track(range(rounds), title)
        ]
        Console().print(_table(f"{count} processes, {title}, {rounds} rounds", done))


@dataclass(frozen=True, slots=True)
class _Task:
    """What each process executes, and for how long."""

    workload: Workload
    batch_rows: int
    seconds: float
    pause_s: float


def _run(task: _Task, setting: Setting, processes: int) -> list[Share]:
    """Run the processes at the same time."""
    spawn = multiprocessing.get_context("spawn")  # a forked copy of ONNX Runtime's threads would not run
    ready, shares = spawn.Barrier(processes), spawn.Queue()
    workers = [spawn.Process(target=_work, args=(task, setting, ready, shares), daemon=True) for _ in range(processes)]
    for worker in workers:
        worker.start()
    collected = [shares.get(timeout=START_LIMIT_S + task.seconds) for _ in workers]
    for worker in workers:
        worker.join()
    return collected


def _work(task: _Task, setting: Setting, ready: Barrier, shares: Queue[Share]) -> None:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = setting.threads, 1
    for key, value in setting.session.items():
        options.add_session_config_entry(key, value)
    session = ort.InferenceSession(str(task.workload.artifact), options, providers=["CPUExecutionProvider"])
    feed = {task.workload.input_name: np.resize(task.workload.rows, (task.batch_rows, *task.workload.rows.shape[1:]))}
    for _ in range(WARM_UP_EXECUTIONS):
        session.run(None, feed)
    ready.wait(START_LIMIT_S)
    begin, cpu, executions = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() < begin + task.seconds:
        session.run(None, feed)
        executions += 1
        if task.pause_s:
            time.sleep(task.pause_s)
    shares.put(Share(executions, time.perf_counter() - begin, time.process_time() - cpu))


def _ratio(ratios: Sequence[float]) -> Ratio:
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def _table(title: str, rounds: Sequence[Round]) -> Table:
    table = Table(title=title)
    for column in ("threads", "executions/s", "CPU ms each", "ours, executions/s", "ours, CPU"):
        table.add_column(column, justify="left" if column == "threads" else "right")
    for name in SETTINGS:
        rate = statistics.median(rate_per_s(each[name]) for each in rounds)
        cpu = statistics.median(cpu_ms(each[name]) for each in rounds)
        ratios = ("", "") if name == OURS else (str(ratio(rounds, OURS, name)) for ratio in (rate_ratio, cpu_ratio))
        table.add_row(name, f"{rate:,.0f}", f"{cpu:.2f}", *ratios)
    return table


if __name__ == "__main__":
    typer.run(main)
