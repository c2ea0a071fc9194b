"""The programs of `apps/` are checked by their hosts at every start; what they share is checked here too."""

from __future__ import annotations

import importlib.util

import numpy as np
import onnx
import orjson
import pytest
from onnx import TensorProto, helper

from load_tests.models import Workload
from load_tests.servers.answers import label_of
from load_tests.servers.offers import APPS


@pytest.fixture
def shared():
    """The module, which is on the path of the programs and not on ours."""
    spec = importlib.util.spec_from_file_location("onnx_model", APPS / "onnx_model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_row_is_read_from_the_body_that_carries_it(shared, workloads):
    digits, cnn = workloads
    rows = np.arange(64, dtype=np.float32)[None]
    sent = Workload("digits", digits.source, digits.artifact, "pixels", rows, digits.expected)
    assert shared.row_of("digits", sent.json_bodies()[0]).tolist() == rows.tolist()
    assert shared.row_of("cnn", cnn.raw_bodies()[0]).tolist() == cnn.rows[:1].tolist()


def test_an_answer_is_v2_json_or_bytes(shared):
    outputs = {"probabilities": np.array([[0.5, 0.5]], np.float32), "label": np.array([1])}
    body = shared.answer_of("digits", outputs)
    assert label_of(body) == 1
    assert orjson.loads(body)["outputs"][0] == {
        "name": "probabilities",
        "datatype": "FP32",
        "shape": [1, 2],
        "data": [0.5, 0.5],
    }
    assert shared.answer_of("cnn", {"logits": np.array([[1.0]], np.float32)}) == b"\x00\x00\x80\x3f"


def test_only_the_conv_net_may_have_more_than_one_thread(shared, monkeypatch):
    monkeypatch.setenv("BENCH_CNN_THREADS", "2")
    assert (shared.threads("digits"), shared.threads("cnn")) == (1, 2)


def test_requests_that_run_together_get_their_own_rows(shared, workloads, tmp_path, monkeypatch):
    graph = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["y"])],
        "negated",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "negated.onnx")
    monkeypatch.setenv("BENCH_DIGITS_ONNX", str(tmp_path / "negated.onnx"))
    answers = shared.OnnxModel("digits").run_each([np.array([[n]], np.float32) for n in (1, 2, 3)])
    assert [answer["y"].tolist() for answer in answers] == [[[-1.0]], [[-2.0]], [[-3.0]]]
