"""A real decoupled model: counts from 1 up to its input, one response a number, and can be made to wait or fail."""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import replace

import numpy as np

from serve_app.config.release import BatchingConfig
from serve_app.dataflow.block_server import BlockServer
from serve_app.dataflow.checked_runtime import CheckedStreamingRuntime
from serve_app.dataflow.model import LoadedModel
from serve_app.datatypes import Datatype
from serve_app.observability.metrics import NoMetrics
from serve_app.types import ReleaseInfo, Tensors, TensorSpec

INFO = ReleaseInfo(
    model="count",
    version="v1",
    platform="python",
    device="cpu",
    inputs=(TensorSpec("upto", Datatype.INT64, (-1,)),),
    outputs=(TensorSpec("number", Datatype.INT64, (-1,)),),
    prediction="number",
    max_rows=4,
    max_queue_rows=8,
    decoupled=True,
)


class Counting:
    """Counts; raises instead of giving 13. `held` lets it go no further than its first response until `go` is set."""

    device, fixed_rows = "cpu", None

    def __init__(self, held: bool = False) -> None:
        self.given, self.closed = 0, threading.Event()
        self.go, self.waits = threading.Event(), threading.Event()
        if not held:
            self.go.set()

    def predict(self, inputs: Tensors) -> Tensors:
        return next(self.stream(inputs))

    def stream(self, inputs: Tensors) -> Generator[Tensors, None, None]:
        try:
            for number in range(1, int(inputs["upto"].max()) + 1):
                if number == 13:
                    raise ValueError("13 brings bad luck")
                if number > 1:
                    self.waits.set()
                    if not self.go.wait(20):
                        raise TimeoutError("nobody released the model")
                self.given += 1
                yield {"number": np.minimum(inputs["upto"], number)}
        finally:
            self.closed.set()


def server_of(model: Counting, **changes: object) -> BlockServer:
    """A release of it without a repository behind it."""
    info = replace(INFO, **changes)
    checked = CheckedStreamingRuntime(model, info.outputs, info.release)
    batching = BatchingConfig(max_rows=info.max_rows, max_queue_rows=info.max_queue_rows)
    loaded = LoadedModel(info, (checked.predict,), batching, {}, threads=1, streams=(checked.stream,))
    return BlockServer(loaded, NoMetrics())
