from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from load_tests.models import Workload, cnn, digits
from serve_app.errors import ConfigError


def digits_model(file: Path) -> None:
    """A stand-in whose label is the index of the largest of the first ten pixels."""
    nodes = [
        helper.make_node("MatMul", ["pixels", "first_ten"], ["probabilities"]),
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
        [numpy_helper.from_array(np.eye(64, 10, dtype=np.float32), "first_ten")],
    )
    file.parent.mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)


def test_digits_are_held_out_rows_with_the_models_own_labels(tmp_path):
    digits_model(tmp_path / "digits/v1/digits.onnx")
    workload = digits(tmp_path)
    assert workload.rows.shape == (100, 64)
    assert workload.expected.tolist() == workload.rows[:, :10].argmax(axis=1).tolist()
    body = json.loads(workload.json_bodies()[3])
    assert body["inputs"][0] == {
        "name": "pixels",
        "datatype": "FP32",
        "shape": [1, 64],
        "data": workload.rows[3].tolist(),
    }


def test_without_the_samples_it_says_what_makes_them(tmp_path):
    with pytest.raises(ConfigError, match="make models"):
        digits(tmp_path)


def test_the_conv_net_is_added_once_and_tells_its_images_apart(tmp_path):
    workload = cnn(tmp_path)
    written = (tmp_path / "cnn/v1/model.yaml").stat().st_mtime_ns
    assert workload.expected.shape == (16, 10)
    assert np.abs(workload.expected[1:] - workload.expected[:-1]).max(axis=1).min() > 0.005
    assert cnn(tmp_path).expected.tolist() == workload.expected.tolist()
    assert (tmp_path / "cnn/v1/model.yaml").stat().st_mtime_ns == written


def test_raw_bodies_are_little_endian_float32():
    workload = Workload("cnn", Path(), Path(), "image", np.array([[1.0], [-2.0]], np.float32), np.zeros(0))
    assert workload.raw_bodies() == (b"\x00\x00\x80\x3f", b"\x00\x00\x00\xc0")
