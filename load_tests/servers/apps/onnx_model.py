"""What every hand-written server shares: the model, one-row bodies in, one-row answers out.

The programs of this folder run in other interpreters and clusters, with this folder on their path and the models' files
in their environment; they import nothing of the project.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
import onnxruntime as ort
import orjson

MAX_BATCH_ROWS = 32
MAX_WAIT_S = 0.002
WORKLOADS = ("digits", "cnn")
CONTENT_TYPES = {"digits": "application/json", "cnn": "application/octet-stream"}

_IMAGE = (1, 3, 64, 64)
_DATATYPES = {"float32": "FP32", "int64": "INT64"}


def artifact(workload: str) -> str:
    """The ONNX file, named by the program that started this one."""
    return os.environ[f"BENCH_{workload.upper()}_ONNX"]


def threads(workload: str) -> int:
    """How many an execution may use, as the program that started this one says; digits are no work for two."""
    return int(os.environ["BENCH_CNN_THREADS"]) if workload == "cnn" else 1


class OnnxModel:
    """One ONNX Runtime session."""

    def __init__(self, workload: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads(workload), 1
        self._session = ort.InferenceSession(artifact(workload), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.workload = workload

    def run(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Execute FP32 rows together; every output by its name."""
        return dict(zip(self._outputs, self._session.run(self._outputs, {self._input: rows}), strict=True))

    def run_each(self, requests: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Execute one-row requests together and give each its own row of the outputs."""
        outputs = self.run(np.concatenate(requests))
        return [{name: array[index : index + 1] for name, array in outputs.items()} for index in range(len(requests))]


def row_of(workload: str, body: bytes) -> np.ndarray:
    """The one row in a body: V2 JSON for digits, little-endian FP32 bytes for cnn."""
    if workload == "cnn":
        return np.frombuffer(body, "<f4").reshape(_IMAGE)
    return v2_row(orjson.loads(body))


def v2_row(request: Mapping) -> np.ndarray:
    """The one row of a V2 infer request that has been parsed."""
    tensor = request["inputs"][0]
    return np.array(tensor["data"], np.float32).reshape(tensor["shape"])


def answer_of(workload: str, outputs: Mapping[str, np.ndarray]) -> bytes:
    """The body of an answer: V2 JSON for digits, the logits' bytes for cnn."""
    return outputs["logits"].tobytes() if workload == "cnn" else orjson.dumps(v2_answer(workload, outputs))


def v2_answer(workload: str, outputs: Mapping[str, np.ndarray]) -> dict:
    """A V2 infer response, not yet JSON."""
    return {
        "model_name": workload,
        "outputs": [
            {
                "name": name,
                "datatype": _DATATYPES[array.dtype.name],
                "shape": array.shape,
                "data": array.ravel().tolist(),
            }
            for name, array in outputs.items()
        ],
    }
