"""digits v1: scikit-learn's multi-layer perceptron, written by hand as an ONNX graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper
from sklearn.neural_network import MLPClassifier

from serve_app.samples.data import Split
from serve_app.samples.digits_graph import digits_graph
from serve_app.types import Array

_HIDDEN = 128
_LARGEST_PIXEL = 16.0


def train(data: Split, file: Path) -> None:
    """Train 64-128-10 on pixels / 16 and write it to `file` as ONNX: `pixels` to `probabilities` and `label`."""
    classifier = MLPClassifier((_HIDDEN,), alpha=1e-3, max_iter=300, random_state=0)
    classifier.fit(data.train_inputs / _LARGEST_PIXEL, data.train_labels)
    onnx.save(_graph(classifier), file)


def _graph(classifier: MLPClassifier) -> onnx.ModelProto:
    weights: dict[str, Array] = {}
    for layer, (matrix, bias) in enumerate(zip(classifier.coefs_, classifier.intercepts_, strict=True)):
        weights |= {f"weight{layer}": matrix.astype(np.float32), f"bias{layer}": bias.astype(np.float32)}
    network = [
        helper.make_node("Gemm", ["scaled", "weight0", "bias0"], ["hidden_sum"]),
        helper.make_node("Relu", ["hidden_sum"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "weight1", "bias1"], ["scores"]),
    ]
    return digits_graph(network, weights)
