"""`python -m load_tests.cascade`: how good the cascade of configs/prod.yaml is, and what it saves.

It answers every held-out digit in batches of 64, in turns with its two models by themselves.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from load_tests.graph_cost import bare, sample
from serve_app.batching.executing import Executing, executing
from serve_app.dataflow.model import load_model
from serve_app.samples.data import held_out
from serve_app.types import Array, Tensors

BATCH_ROWS = 64
MAX_LOST, MAX_SHARE = 0.005, 0.5
SECOND = "conv"


@dataclass(frozen=True, slots=True)
class Pass:
    """All rows once.

    Attributes:
        accuracy: Share of the rows that are right.
        second_share: Share of the rows that the second model of a cascade was given.
        ms: That the executions took.
    """

    accuracy: float
    second_share: float
    ms: float


def one_pass(predict: Callable[[Tensors], Tensors], pixels: Array, right: Array) -> Pass:
    """Have a model or a graph answer all rows, batch after batch."""
    labels, given, ms = [], 0, 0.0
    for start in range(0, len(pixels), BATCH_ROWS):
        inputs = {"pixels": pixels[start : start + BATCH_ROWS]}
        with executing(Executing()) as under_way:
            begin = time.perf_counter()
            labels.append(predict(inputs)["label"])
            ms += 1000 * (time.perf_counter() - begin)
        given += sum(visit.rows for visit in under_way.visits if visit.node == SECOND)
    return Pass(float(np.mean(np.concatenate(labels) == right)), given / len(pixels), ms)


def main(passes: Annotated[int, typer.Option(min=3, help="Over all rows, of each.")] = 50) -> None:
    """Measure, and exit 1 if the cascade is half a point worse than its second model or has it see half of the rows."""
    pixels, right = held_out("digits")
    releases = {"perceptron": bare("v1"), "conv net": bare("v1", "digits-conv"), "cascade": sample("digits-cascade-v1")}
    predicts = {name: load_model(args).predict for name, args in releases.items()}
    taken: dict[str, list[Pass]] = {name: [] for name in predicts}
    for _ in track(range(passes), f"{len(right)} digits"):
        for name, predict in predicts.items():
            taken[name].append(one_pass(predict, pixels, right))
    ms = {name: statistics.median(one.ms for one in all_of) for name, all_of in taken.items()}
    table = Table("", "accuracy", "rows the conv net saw", "ms for all", "of the conv net's")
    for name, (first, *_) in taken.items():
        saw = f"{first.second_share:.1%}" if name == "cascade" else ""
        table.add_row(name, f"{first.accuracy:.2%}", saw, f"{ms[name]:.2f}", f"{ms[name] / ms['conv net']:.2f}")
    Console().print(table)
    cascade, conv = taken["cascade"][0], taken["conv net"][0]
    is_well = cascade.accuracy >= conv.accuracy - MAX_LOST and cascade.second_share < MAX_SHARE
    raise typer.Exit(0 if is_well else 1)


if __name__ == "__main__":
    typer.run(main)
