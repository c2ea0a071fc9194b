"""The ONNX graph around a network that tells digits: scaling in front, softmax and argmax behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from serve_app.types import Array

_LARGEST_PIXEL = 16.0
_OPSET, _IR_VERSION = 17, 8  # every ONNX Runtime since 1.12 reads these


def digits_graph(network: Sequence[NodeProto], weights: Mapping[str, Array]) -> onnx.ModelProto:
    """The model from `pixels` [rows, 64], values 0..16, to `probabilities` [rows, 10] and `label` [rows].

    Args:
        network: Nodes from `scaled`, pixels / 16 as [rows, 64], to `scores` [rows, 10].
        weights: The constants that the nodes name.
    """
    nodes = [
        helper.make_node("Div", ["pixels", "largest_pixel"], ["scaled"]),
        *network,
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    constants = {"largest_pixel": np.array(_LARGEST_PIXEL, np.float32), **weights}
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["rows", 64])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 10]),
            helper.make_tensor_value_info("label", TensorProto.INT64, ["rows"]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model
