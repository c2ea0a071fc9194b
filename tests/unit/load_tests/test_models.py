from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from load_tests.models import Workload, cnn, digits
from serve_app.errors import ConfigError
from serve_app.samples.digits_graph import digits_graph


def digits_model(file: Path) -> None:
    """A stand-in whose label is the index of the largest of the first ten pixels."""
    network = [helper.make_node("MatMul", ["scaled", "first_ten"], ["scores"])]
    file.parent.mkdir(parents=True)
    onnx.save(digits_graph(network, {"first_ten": np.eye(64, 10, dtype=np.float32)}), file)


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
