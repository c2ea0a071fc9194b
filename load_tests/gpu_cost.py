"""`python -m load_tests.gpu_cost`: what the core gets out of a GPU, beside the bare runtime on it and on the CPU.

The residual net of the bench, 53 MFLOP an image of 3x64x64 and 650 of 3x224x224, as `torch.export` program and as
ONNX. First whole batches by the runtime alone; then requests through the batcher of a release, in this process and
without Ray.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from load_tests import conv_net
from serve_app.config.release import BatchingConfig, ReleaseArgs, RuntimeConfig
from serve_app.dataflow.add import NewVersion, add_version
from serve_app.dataflow.block_server import BlockServer
from serve_app.dataflow.model import Predict, load_model
from serve_app.observability.metrics import NoMetrics
from serve_app.types import Array, Block, BlockEntry

SIDES = (64, 224)
MAX_ROWS = 128
BATCHES = (1, 8, 32, MAX_ROWS)
TURNS = 3
RUNTIME = RuntimeConfig()
CORE_ROWS = 8  # more do not make a core any faster
SLO_MS = 60_000.0
Way = tuple[str, int]
"""A format and the side of its images."""


class Load(NamedTuple):
    """A closed loop of requests.

    Attributes:
        clients: Requests under way at once.
        rows: Of each request.
    """

    clients: int
    rows: int


LOADS = (Load(1, 1), Load(64, 1), Load(512, 1), Load(64, 16))


class Served(NamedTuple):
    """What a closed loop gave: rows a second, the median latency of a request, and the mean rows of an execution."""

    rows_per_s: float
    p50_ms: float
    batch_rows: float


def export_program(file: Path, side: int) -> None:
    """The net for images of a side as a `torch.export` program with a free batch axis."""
    axes, example = {"input": {0: torch.export.Dim.DYNAMIC}}, torch.zeros(2, conv_net.CHANNELS, side, side)
    torch.export.save(torch.export.export(conv_net.conv_net(), (example,), dynamic_shapes=axes), file)


def images(rows: int, side: int, seed: int = 0) -> Array:
    """Noise, FP32 [rows, 3, side, side], another for each seed."""
    return np.random.default_rng((rows, seed)).standard_normal((rows, conv_net.CHANNELS, side, side), np.float32)


def repository_at(root: Path, formats: Sequence[str], sides: Sequence[int] = SIDES) -> dict[Way, Path]:
    """The versions' directories, exported and added as an operator would."""
    made = {}
    for fmt in formats:
        suffix, export = (".onnx", conv_net.export) if fmt == "onnx" else (".pt2", export_program)
        for side in sides:
            export(file := root / f"{fmt}{side}{suffix}", side)
            add_version(root, NewVersion(file, f"{fmt}{side}", "v1"))
            made[fmt, side] = root / f"{fmt}{side}/v1"
    return made


def release(source: Path, accelerator: str, how: RuntimeConfig = RUNTIME, max_rows: int = MAX_ROWS) -> ReleaseArgs:
    """A release of a version."""
    return ReleaseArgs.model_validate(
        {
            "model": source.parent.name,
            "version": "v1",
            "source": str(source),
            "accelerator": accelerator,
            "slo_ms": SLO_MS,
            "batching": BatchingConfig(max_rows=max_rows),
            "runtime": how,
        }
    )


def time_ms(predict: Predict, name: str, x: Array, seconds: float) -> float:
    """The median time of a batch."""
    taken: list[float] = []
    predict({name: x})
    end = time.perf_counter() + seconds
    while not taken or time.perf_counter() < end:
        begin = time.perf_counter()
        predict({name: x})
        taken.append(1000 * (time.perf_counter() - begin))
    return statistics.median(taken)


def times_in_turns_ms(predict: Predict, name: str, side: int, seconds: float) -> dict[int, float]:
    """The median time of a batch of each size, one size after the other."""
    batches = {rows: images(rows, side) for rows in BATCHES}
    taken = {rows: list[float]() for rows in BATCHES}
    end = time.perf_counter() + seconds
    while not taken[MAX_ROWS] or time.perf_counter() < end:
        for rows, x in batches.items():
            begin = time.perf_counter()
            predict({name: x})
            taken[rows].append(1000 * (time.perf_counter() - begin))
    return {rows: statistics.median(times) for rows, times in taken.items()}


async def served(server: BlockServer, name: str, x: Array, load: Load, seconds: float) -> Served:
    """Send requests of `x`'s rows in a closed loop through a release's batcher."""
    latencies: list[float] = []
    before, begin = executions(server), time.perf_counter()

    async def client() -> None:
        while (now := time.perf_counter()) < begin + seconds:
            (reply,) = await server.infer(Block({name: x}, (BlockEntry(len(x)),)))
            if reply.results[0].error is not None:
                raise reply.results[0].error
            latencies.append(time.perf_counter() - now)

    await asyncio.gather(*(client() for _ in range(load.clients)))
    took = time.perf_counter() - begin
    batches = executions(server) - before
    batch_rows = sum(rows * count for rows, count in batches.items()) / max(batches.total(), 1)
    return Served(len(latencies) * load.rows / took, 1000 * statistics.median(latencies), batch_rows)


def executions(server: BlockServer) -> Counter[int]:
    """How many batches of each number of rows a release has executed."""
    return Counter({rows: size.compute.count for rows, size in server.statistics.sizes.items()})


def bare_table(sources: Mapping[Way, Path], device: str, how: RuntimeConfig, seconds: float) -> Table:
    """Milliseconds of whole batches by the runtime alone, of one size and of all in turns."""
    table = Table("model", "rows", f"{device} ms", "sizes in turns", "rows/s", "x a CPU core")
    for way, source in sources.items():
        model, core = load_model(release(source, device, how)), load_model(release(source, "cpu", max_rows=CORE_ROWS))
        name, side = core.info.inputs[0].name, way[1]
        core_per_s = 1000 * CORE_ROWS / time_ms(core.predict, name, images(CORE_ROWS, side), seconds)
        in_turns_ms = times_in_turns_ms(model.predict, name, side, seconds)
        for rows in BATCHES:
            ms = time_ms(model.predict, name, images(rows, side), seconds)
            per_s = 1000 * rows / ms
            times = f"{ms:.3f}", f"{in_turns_ms[rows]:.3f}"
            table.add_row(" ".join(map(str, way)), str(rows), *times, f"{per_s:,.0f}", f"{per_s / core_per_s:.0f}")
        model.close()
        core.close()
    return table


async def served_table(sources: Mapping[Way, Path], device: str, how: RuntimeConfig, seconds: float) -> Table:
    """What the batcher makes of requests, with one and with two instances; medians of a few turns of every staging."""
    table = Table("model", "instances", "batches lie in", "clients x rows", "rows/s", "p50 ms", "rows a batch")
    for (fmt, side), source in track(sources.items(), "served"):
        for instances in (1, 2):
            model = load_model(release(source, device, how.model_copy(update={"instances": instances})))
            stagings = {"any memory": replace(model, empty=None)} | ({"pinned memory": model} if model.empty else {})
            servers = {name: BlockServer(one, NoMetrics()) for name, one in stagings.items()}
            for load in LOADS:
                x, turns = images(load.rows, side), {name: list[Served]() for name in servers}
                for _ in range(TURNS):
                    for name, server in servers.items():
                        turns[name].append(await served(server, model.info.inputs[0].name, x, load, seconds))
                for name, got in turns.items():
                    rows_per_s, p50_ms, batch_rows = map(statistics.median, zip(*got, strict=True))
                    way = (f"{fmt} {side}", str(instances), name, f"{load.clients} x {load.rows}")
                    table.add_row(*way, f"{rows_per_s:,.0f}", f"{p50_ms:.2f}", f"{batch_rows:.1f}")
            for server in servers.values():
                server.close()
    return table


def main(
    seconds: Annotated[float, typer.Option(min=0.1, help="Of each measurement.")] = 1.0,
    device: Annotated[str, typer.Option(help="`gpu`, or `cpu` to try this program where there is none.")] = "gpu",
    formats: Annotated[str, typer.Option(help="With commas between them.")] = "torch_export,onnx",
    precision: Annotated[str, typer.Option(help="As of `runtime.precision`.")] = "fp32",
) -> None:
    """Measure and print both tables."""
    console, how = Console(width=120), RuntimeConfig.model_validate({"precision": precision})
    with tempfile.TemporaryDirectory() as folder:
        sources = repository_at(Path(folder), formats.split(","))
        console.print(bare_table(sources, device, how, seconds))
        console.print(asyncio.run(served_table(sources, device, how, seconds)))


if __name__ == "__main__":
    typer.run(main)
