"""Ray Serve's own batching: one process that parses, batches with `@serve.batch` and runs ONNX Runtime in a thread."""

import asyncio

from onnx_model import CONTENT_TYPES, MAX_BATCH_ROWS, OnnxModel, answer_of, row_of
from ray import serve
from starlette.requests import Request
from starlette.responses import Response


class Batched:
    """One model behind a route of its own."""

    def __init__(self, workload: str, wait_s: float) -> None:
        self._model, self._workload = OnnxModel(workload), workload
        self._execute.set_batch_wait_timeout_s(wait_s)

    async def __call__(self, request: Request) -> Response:
        row = row_of(self._workload, await request.body())
        outputs = await self._execute(row)
        return Response(answer_of(self._workload, outputs), media_type=CONTENT_TYPES[self._workload])

    @serve.batch(max_batch_size=MAX_BATCH_ROWS)
    async def _execute(self, rows):
        return await asyncio.to_thread(self._model.run_each, rows)


def build(args):
    """An application with one replica; `args` are `workload` and `wait_s`, how long a batch waits to fill."""
    return (
        serve.deployment(Batched)
        .options(
            max_ongoing_requests=4096,  # the default of 5 would never let a batch fill
            ray_actor_options={"num_cpus": 0.1},
            logging_config={"enable_access_log": False},
        )
        .bind(args["workload"], float(args["wait_s"]))
    )
