"""A real model that can be checked by hand: y = 2 x + 1 on rows of three numbers, and its sum as the label."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import numpy as np

from serve_app.batching.batcher import Batcher
from serve_app.batching.execution import Traits
from serve_app.batching.policy import AdaptivePolicy
from serve_app.config.release import BatchingConfig
from serve_app.dataflow.tally import Tally
from serve_app.datatypes import Datatype
from serve_app.types import Block, BlockEntry, BlockReply, ReleaseInfo, ReleaseStatistics, Tensors, TensorSpec

INFO = ReleaseInfo(
    model="arithmetic",
    version="v1",
    platform="python",
    device="cpu",
    inputs=(TensorSpec("x", Datatype.FP32, (-1, 3)),),
    outputs=(TensorSpec("y", Datatype.FP32, (-1, 3)), TensorSpec("total", Datatype.INT64, (-1,))),
    prediction="total",
    max_rows=8,
    max_queue_rows=4096,
)


def predict(inputs: Tensors) -> Tensors:
    x = inputs["x"]
    return {"y": 2 * x + 1, "total": x.sum(axis=1).astype(np.int64)}


def rows(*values: float) -> np.ndarray:
    """One row of three equal numbers for each value."""
    return np.repeat(np.array(values, np.float32)[:, None], 3, axis=1)


def block(*requests: np.ndarray, timeout_s: float | None = None) -> Block:
    entries = tuple(BlockEntry(len(x), f"r{i}", timeout_s) for i, x in enumerate(requests))
    return Block({"x": np.concatenate(requests)}, entries)


class Recording:
    """The arithmetic model, remembering the rows of each execution; can be held until `release` is called."""

    def __init__(self, held: bool = False) -> None:
        self.batches: list[list[float]] = []
        self.started, self._go = threading.Event(), threading.Event()
        if not held:
            self._go.set()

    @property
    def batch_rows(self) -> list[int]:
        return [len(batch) for batch in self.batches]

    def __call__(self, inputs: Tensors) -> Tensors:
        self.batches.append(inputs["x"][:, 0].tolist())
        self.started.set()
        if not self._go.wait(20):
            raise TimeoutError("nobody released the model")
        return predict(inputs)

    def release(self) -> None:
        self._go.set()


class Executor:
    """A release in this process without a repository behind it."""

    def __init__(self, version: str = "v1", call=predict, **changes: object) -> None:
        self.info = replace(INFO, version=version, **changes)
        config = BatchingConfig(max_rows=self.info.max_rows, max_queue_rows=self.info.max_queue_rows)
        self._tally = Tally()
        traits = Traits(self.info.release)
        self.batcher = Batcher((call,), AdaptivePolicy(config), traits=traits, observe=self._tally.executed)

    @property
    def statistics(self) -> ReleaseStatistics:
        return self._tally.read()

    async def infer(self, *blocks: Block) -> tuple[BlockReply, ...]:
        replies = await asyncio.gather(*map(self.batcher.submit, blocks))
        for reply in replies:
            self._tally.ended(reply.results, 0.5)
        return tuple(replace(reply, revision=self.info.revision) for reply in replies)
