"""The limit of any server on this machine: bare ONNX Runtime in a loop, nothing around it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from load_tests.models import Workload, cnn, digits, session

BATCH_ROWS = (2, 4, 8, 16, 32, 64)
"""Batches that the best is chosen from, beside 1."""

_MEASURED_S, _WARM_UP_RUNS = 0.4, 3


@dataclass(frozen=True, slots=True)
class Limit:
    """What one process with nothing but ONNX Runtime does.

    Attributes:
        name: As reports show it.
        workload: `digits` or `cnn`.
        rows_per_s: Rows executed in a second.
        cpu_s_per_1000_rows: CPU seconds, of all threads, that 1,000 rows cost.
    """

    name: str
    workload: str
    rows_per_s: float
    cpu_s_per_1000_rows: float


def limits() -> list[Limit]:
    """Measure each workload with one and two threads, at batch 1 and at the best batch; takes about 12 s."""
    return [
        limit
        for workload in (digits(), cnn())
        for threads in (1, 2)
        for limit in of_one_and_best(workload.name, threads, _measured(workload, threads))
    ]


def of_one_and_best(workload: str, threads: int, measured: Mapping[int, tuple[float, float]]) -> list[Limit]:
    """The limits at batch 1 and at the fastest batch; `measured` has what `rate` said of each number of rows."""
    best = max(measured, key=lambda rows: measured[rows][0])
    name = "bare ONNX Runtime, batch {}, {} thread" + ("s" if threads > 1 else "")
    return [Limit(name.format(rows, threads), workload, *measured[rows]) for rows in (1, best)]


def rate(execute: Callable[[], object], rows: int, seconds: float = _MEASURED_S) -> tuple[float, float]:
    """Rows a second, and CPU seconds per 1,000 rows, of an execution of so many rows."""
    for _ in range(_WARM_UP_RUNS):
        execute()
    done, started, cpu_started = 0, time.perf_counter(), time.process_time()
    while (elapsed := time.perf_counter() - started) < seconds:
        execute()
        done += rows
    return done / elapsed, 1000 * (time.process_time() - cpu_started) / done


def _measured(workload: Workload, threads: int) -> dict[int, tuple[float, float]]:
    run = session(workload.artifact, threads).run
    batches = {rows: np.resize(workload.rows, (rows, *workload.rows.shape[1:])) for rows in (1, *BATCH_ROWS)}
    return {rows: rate(partial(run, None, {workload.input_name: batch}), rows) for rows, batch in batches.items()}
