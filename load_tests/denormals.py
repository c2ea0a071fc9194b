"""`python -m load_tests.denormals`: executions of a sample with denormal weights, and with denormal numbers as zero."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from load_tests.models import digits, session
from serve_app.config.release import RuntimeConfig
from serve_app.repository.store import open_version
from serve_app.runtimes.base import RuntimeSource
from serve_app.runtimes.onnx import OnnxRuntime
from serve_app.types import Tensors

ROWS = (1, 8, 32, 64)
EXECUTIONS = 50

Execute = Callable[[Tensors], object]


def ways(version: Path) -> tuple[Execute, Execute]:
    """A model's executions in one thread as ONNX Runtime has them by itself, and as our runtime does."""
    opened = open_version(str(version))
    source = RuntimeSource(opened.manifest, opened.directory, config=RuntimeConfig(threads=1))
    bare = session(source.artifact)
    return lambda inputs: bare.run(None, dict(inputs)), OnnxRuntime(source).predict


def us_of(execute: Execute, inputs: Tensors) -> float:
    """Microseconds of an execution, the mean of some."""
    began = time.perf_counter()
    for _ in range(EXECUTIONS):
        execute(inputs)
    return 1e6 * (time.perf_counter() - began) / EXECUTIONS


def main(rounds: Annotated[int, typer.Option(min=1, help="How often each is measured, in turns.")] = 9) -> None:
    """Measure digits v1."""
    workload = digits()
    both = ways(workload.source)
    some = np.random.default_rng(0).uniform(0, 16, workload.rows.shape).astype(np.float32)
    shown = Table("pixels", "rows", "us by itself", "us, denormals as zero", "of the other's time")
    cases = [(name, pixels, rows) for name, pixels in (("digits", workload.rows), ("all set", some)) for rows in ROWS]
    for name, pixels, rows in track(cases, "cases"):
        inputs = {workload.input_name: pixels[:rows]}
        turns = [[us_of(execute, inputs) for execute in both] for _ in range(rounds)]
        before, after = map(statistics.median, zip(*turns, strict=True))
        ratio = statistics.median(later / earlier for earlier, later in turns)
        shown.add_row(name, str(rows), f"{before:.0f}", f"{after:.0f}", f"{ratio:.2f}")
    Console().print(shown)


if __name__ == "__main__":
    typer.run(main)
