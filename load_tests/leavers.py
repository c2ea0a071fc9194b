"""`python -m load_tests.leavers --seconds 30`: four of five callers give up early, in one process without a network.

Requests arrive at twice what a model can execute. Each has one row whose value names it, so that the model knows whose
deadline has passed when it begins to execute. Afterwards everybody stays, and everybody must be answered.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from serve_app.config.gateway import LimitsConfig, TrafficTable
from serve_app.config.release import BatchingConfig
from serve_app.data_plane.local import LocalCluster
from serve_app.data_plane.plane import DataPlane
from serve_app.dataflow.block_server import BlockServer
from serve_app.dataflow.model import LoadedModel
from serve_app.datatypes import Datatype
from serve_app.errors import ServeAppError
from serve_app.observability.metrics import NoMetrics
from serve_app.observability.request_log import RequestLog
from serve_app.types import InferenceRequest, ReleaseInfo, Tensors, TensorSpec

MODEL = "counting"
EXECUTION_S = 0.02
MAX_ROWS = 8
CAPACITY_PER_S = MAX_ROWS / EXECUTION_S
LEAVING_SHARE = 0.8
TIMEOUT_S = 0.2
STAYERS_AFTERWARDS = 400


@dataclass(slots=True)
class Counts:
    """What happened.

    Attributes:
        left: Callers that gave up.
        refused: Those told in time that they will not be answered.
        late: Executions that began after the deadline of a row in them.
        afterwards: Callers that stayed when all did, and were answered.
    """

    sent: int = 0
    left: int = 0
    answered: int = 0
    refused: int = 0
    executed: int = 0
    late: int = 0
    afterwards: int = 0


@dataclass(slots=True)
class CountingModel:
    """Takes its time without using a CPU, and looks at each row's deadline."""

    counts: Counts
    deadlines: dict[int, float] = field(default_factory=dict)

    def __call__(self, inputs: Tensors) -> Tensors:
        """Answer every row with its own name."""
        now, names = time.perf_counter(), inputs["name"]
        self.counts.executed += len(names)
        self.counts.late += sum(self.deadlines[name] < now for name in names.tolist())
        threading.Event().wait(EXECUTION_S)
        return {"same": names}


def run(seconds: float, seed: int = 1) -> Counts:
    """Send for that long, then have everybody stay."""
    return asyncio.run(_run(seconds, random.Random(seed)))  # noqa: S311 - not for secrets


async def _run(seconds: float, draw: random.Random) -> Counts:
    counts = Counts()
    model = CountingModel(counts)
    server = BlockServer(_loaded(model), NoMetrics())
    plane = DataPlane(LocalCluster(server), LimitsConfig(), RequestLog(NoMetrics()))
    plane.set_table(TrafficTable.model_validate({"models": {MODEL: {"traffic": {"v1": 100}}}}))
    await plane.directory.refresh()
    try:
        callers = _Callers(plane, model)
        await callers.crowd(seconds, draw)
        await asyncio.gather(*(callers.stay() for _ in range(STAYERS_AFTERWARDS)))
    finally:
        await plane.close()
        server.close()
    return counts


class _Callers:
    def __init__(self, plane: DataPlane, model: CountingModel) -> None:
        self._plane, self._model, self._counts = plane, model, model.counts

    async def crowd(self, seconds: float, draw: random.Random) -> None:
        """Callers at twice the capacity, most of whom give up after a part of their time."""
        ends, due = time.perf_counter() + seconds, time.perf_counter()
        async with asyncio.TaskGroup() as group:
            while (now := time.perf_counter()) < ends:
                await asyncio.sleep(max(0.0, due - now))
                due += draw.expovariate(2 * CAPACITY_PER_S)
                patience_s = draw.uniform(0, TIMEOUT_S / 2) if draw.random() < LEAVING_SHARE else None
                group.create_task(self._call(patience_s))

    async def stay(self) -> None:
        """One caller that waits for its answer."""
        await self._infer(None)
        self._counts.afterwards += 1

    async def _call(self, patience_s: float | None) -> None:
        self._counts.sent += 1
        try:
            await asyncio.wait_for(self._infer(TIMEOUT_S), patience_s)
        except TimeoutError:
            self._counts.left += 1
        except ServeAppError:
            self._counts.refused += 1
        else:
            self._counts.answered += 1

    async def _infer(self, timeout_s: float | None) -> None:
        name, now = len(self._model.deadlines), time.perf_counter()
        self._model.deadlines[name] = now + (timeout_s or float("inf"))
        request = InferenceRequest(MODEL, {"name": np.array([name])}, timeout_s=timeout_s)
        response = await self._plane.infer(request)
        if response.outputs["same"].tolist() != [name]:
            raise SystemExit(f"request {name} was answered with {response.outputs['same'].tolist()}")


def _loaded(model: CountingModel) -> LoadedModel:
    info = ReleaseInfo(
        model=MODEL,
        version="v1",
        platform="python",
        device="cpu",
        inputs=(TensorSpec("name", Datatype.INT64, (-1,)),),
        outputs=(TensorSpec("same", Datatype.INT64, (-1,)),),
        prediction="same",
        max_rows=MAX_ROWS,
        max_queue_rows=4096,
        profile={1: 1000 * EXECUTION_S, MAX_ROWS: 1000 * EXECUTION_S},
    )
    return LoadedModel(info, (model,), BatchingConfig(max_rows=MAX_ROWS), {}, threads=1)


def main(seconds: Annotated[float, typer.Option(min=0.1, help="How long callers give up early.")] = 30.0) -> None:
    """Have four of five callers give up early; exit 1 if a row was executed too late or a later caller failed."""
    counts, table = run(seconds), Table("what", "requests")
    for name, what in (
        ("sent", "sent, at twice the capacity"),
        ("left", "given up by their callers"),
        ("answered", "answered"),
        ("refused", "refused"),
        ("executed", "rows executed, in all"),
        ("late", "rows executed after their deadline"),
        ("afterwards", f"answered afterwards, of {STAYERS_AFTERWARDS}"),
    ):
        table.add_row(what, f"{getattr(counts, name):,}")
    Console().print(table)
    raise typer.Exit(1 if counts.late or counts.afterwards < STAYERS_AFTERWARDS else 0)


if __name__ == "__main__":
    typer.run(main)
