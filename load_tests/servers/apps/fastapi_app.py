"""What one writes by hand: FastAPI on uvicorn, one process, no batching, no validation, no access log."""

import sys

import uvicorn
from fastapi import FastAPI, Request, Response
from onnx_model import CONTENT_TYPES, WORKLOADS, OnnxModel, answer_of, row_of

app = FastAPI()
models = {workload: OnnxModel(workload) for workload in WORKLOADS}


@app.post("/{workload}")
async def infer(workload: str, request: Request) -> Response:
    """Execute one row at once, on the event loop: a thread would cost more than the models take."""
    row = row_of(workload, await request.body())
    return Response(answer_of(workload, models[workload].run(row)), media_type=CONTENT_TYPES[workload])


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="warning")
