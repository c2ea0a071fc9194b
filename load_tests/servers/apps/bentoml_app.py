"""Both models as one BentoML service; its parameters arrive as JSON, so the image does too."""

import bentoml
import numpy as np
from onnx_model import MAX_BATCH_ROWS, WORKLOADS, OnnxModel, v2_answer, v2_row

# BentoML learns its wait from this bound and refuses what would take longer: far above what any load here needs.
_BATCHING = {"batchable": True, "max_batch_size": MAX_BATCH_ROWS, "max_latency_ms": 1000}


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Onnx:
    """Takes `inputs` of V2 infer requests, one row each, and answers V2 responses."""

    def __init__(self) -> None:
        self._models = {workload: OnnxModel(workload) for workload in WORKLOADS}

    @bentoml.api(route="/digits", **_BATCHING)
    def digits(self, inputs: list[dict]) -> list[dict]:
        return self._answers("digits", inputs)

    @bentoml.api(route="/cnn", **_BATCHING)
    def cnn(self, inputs: list[dict]) -> list[dict]:
        return self._answers("cnn", inputs)

    def _answers(self, workload: str, tensors: list[dict]) -> list[dict]:
        rows: list[np.ndarray] = [v2_row({"inputs": [tensor]}) for tensor in tensors]
        return [v2_answer(workload, outputs) for outputs in self._models[workload].run_each(rows)]
