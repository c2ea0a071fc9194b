"""The two workloads: their models, the rows that are sent, the right answers, and bodies of one row each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
import orjson

from serve_app.errors import ConfigError
from serve_app.samples.data import held_out
from serve_app.types import Array

ROOT = Path(__file__).parents[1]
BENCH = ROOT / "build/bench"

RAW_CONTENT_TYPE = "application/octet-stream"
_DIGITS_ROWS, _CNN_ROWS = 100, 16
_IMAGE_SHAPE = (3, 64, 64)
_SEED = 20240601


@dataclass(frozen=True, slots=True)
class Workload:
    """What every server is given and must answer.

    Attributes:
        name: `digits`: a perceptron, 64-128-10. `cnn`: a residual net on 3x64x64, 53 MFLOP an image.
        source: Directory of the version's `model.yaml`.
        artifact: The ONNX file in it.
        input_name: Of its only input.
        rows: FP32 [n, 64] or [n, 3, 64, 64]; each is the only row of one request.
        expected: What ONNX Runtime answers: INT64 label [n] for digits, FP32 logits [n, 10] for cnn.
    """

    name: Literal["digits", "cnn"]
    source: Path
    artifact: Path
    input_name: str
    rows: Array
    expected: Array

    def json_bodies(self) -> tuple[bytes, ...]:
        """A one-row V2 infer request of each row."""
        return tuple(
            orjson.dumps(
                {
                    "inputs": [
                        {
                            "name": self.input_name,
                            "datatype": "FP32",
                            "shape": [1, *row.shape],
                            "data": row.ravel().tolist(),
                        }
                    ]
                }
            )
            for row in self.rows
        )

    def raw_bodies(self) -> tuple[bytes, ...]:
        """The little-endian FP32 bytes of each row."""
        return tuple(row.astype("<f4").tobytes() for row in self.rows)


def digits(models: Path = ROOT / "models") -> Workload:
    """Version v1 of the sample model, and held-out digits.

    Raises:
        ConfigError: The samples have not been made.
    """
    source = models / "digits/v1"
    artifact = source / "digits.onnx"
    if not artifact.is_file():
        raise ConfigError(f"{artifact} is not there; `make models` makes it")
    rows = held_out("digits")[0][:_DIGITS_ROWS]
    _, labels = session(artifact).run(["probabilities", "label"], {"pixels": rows})
    return Workload("digits", source, artifact, "pixels", rows, labels)


def cnn(models: Path = BENCH / "models") -> Workload:
    """The conv net, exported into the repository at `models` where it is not there yet, and random images."""
    source = models / "cnn/v1"
    artifact = source / "model.onnx"
    if not source.is_dir():
        from load_tests.conv_net import add_version  # noqa: PLC0415 - PyTorch takes seconds, and is needed once

        add_version(models)
    random = np.random.default_rng(_SEED)
    tints = random.uniform(-1, 1, (_CNN_ROWS, 3, 1, 1))  # images of noise alone would all have nearly the same logits
    rows = random.normal(tints, 1, (_CNN_ROWS, *_IMAGE_SHAPE)).astype(np.float32)
    (logits,) = session(artifact).run(["logits"], {"image": rows})
    return Workload("cnn", source, artifact, "image", rows, logits)


def session(artifact: Path, threads: int = 1) -> Any:  # noqa: ANN401 - onnxruntime ships without types
    """A bare ONNX Runtime session on the CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return ort.InferenceSession(str(artifact), options, providers=["CPUExecutionProvider"])
