"""`python -m load_tests.graph_cost`: what nodes cost that run in their model's process, over the model's own time.

A chain of five transforms before digits v1, and the ensemble and the cascade of configs/prod.yaml, beside the bare
models. All take turns, batch after batch.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.progress import track
from rich.table import Table

from load_tests.models import ROOT
from serve_app.config.release import ReleaseArgs
from serve_app.dataflow.model import load_model
from serve_app.samples.data import held_out
from serve_app.types import Array, Tensors

CHAIN = 5
MAX_NODE_MS = 0.15
Predict = Callable[[Tensors], Tensors]


def bare(version: str, model: str = "digits") -> ReleaseArgs:
    """A version of a sample by itself."""
    return ReleaseArgs(model=model, version=version, source=str(ROOT / f"models/{model}/{version}"), accelerator="cpu")


def chain() -> ReleaseArgs:
    """Transforms that change nothing, one behind the other, and digits v1 behind them."""
    nodes: list[dict[str, object]] = [
        {
            "kind": "transform",
            "name": f"t{index}",
            "input": f"t{index - 1}.y" if index else "pixels",
            "steps": [{"op": "standardise", "mean": [0.0] * 64, "std": [1.0] * 64}],
        }
        for index in range(CHAIN)
    ]
    model = {"kind": "model", "name": "mlp", "source": bare("v1").source, "inputs": {"pixels": f"t{CHAIN - 1}.y"}}
    graph = {
        "inputs": [{"name": "pixels", "datatype": "FP32", "shape": [-1, 64]}],
        "nodes": [*nodes, model],
        "outputs": {"label": "mlp.label"},
    }
    return ReleaseArgs.model_validate({"model": "chain", "version": "v1", "accelerator": "cpu", "graph": graph})


def sample(name: str) -> ReleaseArgs:
    """A release of configs/prod.yaml that is a graph."""
    applications = yaml.safe_load((ROOT / "configs/prod.yaml").read_text())["applications"]
    (args,) = [application["args"] for application in applications if application["name"] == name]
    for node in args["graph"]["nodes"]:
        if "source" in node:
            node["source"] = str(ROOT / node["source"])
    return ReleaseArgs.model_validate({**args, "accelerator": "cpu"})


def median_ms(predicts: Mapping[str, Predict], pixels: Array, batches: int) -> dict[str, float]:
    """What an execution takes in each way, in turns."""
    taken: dict[str, list[float]] = {name: [] for name in predicts}
    for _ in track(range(batches), f"{len(pixels)} rows"):
        for name, predict in predicts.items():
            begin = time.perf_counter()
            predict({"pixels": pixels})
            taken[name].append(1000 * (time.perf_counter() - begin))
    return {name: statistics.median(times) for name, times in taken.items()}


def main(batches: Annotated[int, typer.Option(min=10, help="Of each size and way.")] = 500) -> None:
    """Measure, and exit 1 if a node of the chain costs more than it may."""
    releases = {"v1": bare("v1"), "v2": bare("v2"), "svm": bare("v1", "digits-svm"), "chain": chain()}
    releases |= {name: sample(f"digits-{name}-v1") for name in ("ensemble", "cascade")}
    predicts = {name: load_model(args).predict for name, args in releases.items()}
    table = Table("rows", *(f"{name} ms" for name in predicts), "a node of the chain, ms", "ensemble / (v1 + v2 + svm)")
    is_well = True
    for rows in (1, 8, 64):
        ms = median_ms(predicts, held_out("digits")[0][:rows], batches)
        node_ms = (ms["chain"] - ms["v1"]) / CHAIN
        ratio = ms["ensemble"] / (ms["v1"] + ms["v2"] + ms["svm"])
        table.add_row(str(rows), *(f"{one:.3f}" for one in ms.values()), f"{node_ms:.4f}", f"{ratio:.2f}")
        is_well &= node_ms <= MAX_NODE_MS
    Console().print(table)
    raise typer.Exit(0 if is_well else 1)


if __name__ == "__main__":
    typer.run(main)
