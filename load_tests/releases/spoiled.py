"""Operator's classes around the digits perceptron that are bad in known ways: what a release must not get through.

They are named by `python_class`; how bad they are is in the file `behaviour.json` beside the artifact, whose digest is
in the manifest.
"""

from __future__ import annotations

import json
import threading
import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from serve_app.types import Array, Tensors

ARTIFACT, BEHAVIOUR = "digits.onnx", "behaviour.json"
CLASSES = 10


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a spoiled perceptron does otherwise than the sound one.

    Attributes:
        wrong_rows: Digests of rows to which it says the next digit.
        raising_rows: Digests of rows at which it raises.
        extra_ms: How much longer each execution takes.
    """

    wrong_rows: tuple[int, ...] = ()
    raising_rows: tuple[int, ...] = ()
    extra_ms: float = 0.0

    def to_json(self) -> str:
        """As `behaviour.json` has it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Behaviour:
        """What `to_json` wrote."""
        document = json.loads(text)
        return cls(tuple(document["wrong_rows"]), tuple(document["raising_rows"]), document["extra_ms"])

    def labels(self, rows: Array, labels: Array) -> Array:
        """What it says to rows to which the sound one says `labels`."""
        is_wrong = np.isin([digest(row) for row in rows], self.wrong_rows)
        said: Array = np.where(is_wrong, (labels + 1) % CLASSES, labels)
        return said


def digest(row: Array) -> int:
    """The same for the same row of pixels."""
    return zlib.crc32(np.ascontiguousarray(row, np.float32).tobytes())


class Perceptron:
    """The digits perceptron, spoiled as its `behaviour.json` says."""

    def setup(self, directory: Path, device: str) -> None:
        """Load the artifact; the device is the CPU, whatever is given."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(str(directory / ARTIFACT), options, providers=["CPUExecutionProvider"])
        self._behaviour = Behaviour.from_json((directory / BEHAVIOUR).read_text())

    def predict(self, inputs: Tensors) -> Tensors:
        """Probabilities of the sound one, and labels.

        Raises:
            ArithmeticError: A row is one at which it raises.
        """
        rows, behaviour = inputs["pixels"], self._behaviour
        if behaviour.extra_ms:
            time.sleep(behaviour.extra_ms / 1000)
        if behaviour.raising_rows and np.isin([digest(row) for row in rows], behaviour.raising_rows).any():
            raise ArithmeticError("a row that this version cannot compute")
        probabilities, labels = self._session.run(["probabilities", "label"], {"pixels": rows})
        return {"probabilities": probabilities, "label": behaviour.labels(rows, labels)}


class NeverReady(Perceptron):
    """Does not come out of its constructor."""

    def __init__(self) -> None:
        threading.Event().wait()


class Raising(Perceptron):
    """Cannot be constructed."""

    def __init__(self) -> None:
        raise RuntimeError("the weights of this version were lost")
