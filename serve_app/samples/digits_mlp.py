"""digits v1: scikit-learn's multi-layer perceptron, written by hand as an ONNX graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.neural_network import MLPClassifier

from serve_app.samples.data import Split

_HIDDEN = 128
_LARGEST_PIXEL = 16.0
_OPSET, _IR_VERSION = 17, 8  # every ONNX Runtime since 1.12 reads these


def train(data: Split, file: Path) -> None:
    """Train 64-128-10 on pixels / 16 and write it to `file` as ONNX: `pixels` to `probabilities` and `label`."""
    classifier = MLPClassifier((_HIDDEN,), alpha=1e-3, max_iter=300, random_state=0)
    classifier.fit(data.train_inputs / _LARGEST_PIXEL, data.train_labels)
    onnx.save(_graph(classifier), file)


def _graph(classifier: MLPClassifier) -> onnx.ModelProto:
    """The network with the scaling in front and softmax and argmax behind it; axis 0 is free."""
    weights = {"largest_pixel": np.array(_LARGEST_PIXEL, np.float32)}
    for layer, (matrix, bias) in enumerate(zip(classifier.coefs_, classifier.intercepts_, strict=True)):
        weights |= {f"weight{layer}": matrix.astype(np.float32), f"bias{layer}": bias.astype(np.float32)}
    nodes = [
        helper.make_node("Div", ["pixels", "largest_pixel"], ["scaled"]),
        helper.make_node("Gemm", ["scaled", "weight0", "bias0"], ["hidden_sum"]),
        helper.make_node("Relu", ["hidden_sum"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "weight1", "bias1"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["rows", 64])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 10]),
            helper.make_tensor_value_info("label", TensorProto.INT64, ["rows"]),
        ],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model
