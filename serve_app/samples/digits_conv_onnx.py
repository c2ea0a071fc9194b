"""digits-conv v1: the net of digits v2 with its very weights, written by hand as an ONNX graph.

A process that serves it need not import PyTorch.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper

from serve_app.config.manifest import Format
from serve_app.errors import ManifestError
from serve_app.repository.store import ModelVersion
from serve_app.runtimes.torch_trust import check_export
from serve_app.samples.digits_graph import digits_graph
from serve_app.types import Array

_NAMES = {
    "features.0.weight": "filters0",
    "features.0.bias": "bias0",
    "features.2.weight": "filters1",
    "features.2.bias": "bias1",
    "classify.weight": "weight2",
    "classify.bias": "bias2",
}
"""Of the weights, in PyTorch and in the graph."""


def convert(version: ModelVersion, file: Path) -> None:
    """Write the net of digits v2 to `file` as ONNX.

    It is not trained again: the weights would be others with another number of threads.

    Raises:
        ManifestError: The version is an operator's own, of another net.
        UntrustedArtifact: Loading it could run code.
    """
    weights = {_NAMES[name]: array for name, array in _weights(version).items()}
    network = [
        helper.make_node("Reshape", ["scaled", "image_shape"], ["images"]),
        helper.make_node("Conv", ["images", "filters0", "bias0"], ["sums0"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["sums0"], ["maps0"]),
        helper.make_node("Conv", ["maps0", "filters1", "bias1"], ["sums1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["sums1"], ["maps1"]),
        helper.make_node("MaxPool", ["maps1"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("Gemm", ["features", "weight2", "bias2"], ["scores"], transB=1),
    ]
    onnx.save(digits_graph(network, {**weights, "image_shape": np.array([-1, 1, 8, 8])}), file)


def _weights(version: ModelVersion) -> dict[str, Array]:
    artifact = version.manifest.artifact
    if artifact is not None and version.manifest.format is Format.TORCH_EXPORT:
        check_export(version.directory / artifact, trusted_sha256=())
        state = torch.export.load(version.directory / artifact).state_dict
        if state.keys() == _NAMES.keys():
            return {name: tensor.detach().numpy() for name, tensor in state.items()}
    reason = "is not the samples' conv net, of which digits-conv-v1 is made; add that version yourself"
    raise ManifestError(version.source, reason)
