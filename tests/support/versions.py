"""Small real model versions, written to a directory as a repository holds them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx
import yaml
from onnx import TensorProto, helper


class _Dumper(yaml.SafeDumper):
    """Without aliases, which manifests do not have."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_version(directory: Path, artifact: bytes, document: dict, name: str = "model.onnx") -> Path:
    """Write an artifact and its model.yaml; `document` adds to, or replaces, what belongs to an ONNX model."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(artifact)
    (directory / "model.yaml").write_text(yaml.dump(onnx_document(artifact, name) | document, None, _Dumper))
    return directory


def onnx_document(artifact: bytes, name: str = "model.onnx") -> dict:
    """The manifest of `doubling()`."""
    return {
        "format": "onnx",
        "artifact": name,
        "sha256": sha256(artifact),
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
    }


def onnx_model(nodes: list, inputs: list, outputs: list) -> bytes:
    graph = helper.make_graph(nodes, "graph", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def doubling() -> bytes:
    """y = x + x on FP32 [-1, 2]."""
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 2])  # noqa: E731
    return onnx_model([helper.make_node("Add", ["x", "x"], ["y"])], [value("x")], [value("y")])


def identity(kind: int, shape: list | None = None) -> bytes:
    """y = x in the ONNX element type `kind`."""
    shape = shape or ["rows", 2]
    x, y = (helper.make_tensor_value_info(name, kind, shape) for name in "xy")
    return onnx_model([helper.make_node("Identity", ["x"], ["y"])], [x], [y])
