"""ONNX models on a GPU: the CPU's answers through IO binding, from several threads at once, in every datatype."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from onnx import TensorProto
from support.instances import TURNS, check_answers_in_threads
from support.versions import identity, onnx_document, write_version

from load_tests import conv_net
from serve_app.config.manifest import Manifest
from serve_app.config.release import ReleaseArgs, RuntimeConfig
from serve_app.dataflow.model import load_model
from serve_app.datatypes import Datatype
from serve_app.runtimes.base import RuntimeSource
from serve_app.runtimes.onnx import OnnxRuntime

pytestmark = pytest.mark.gpu

THREADS = 4
TYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
}


def images(rows: int, seed: int):
    return np.random.default_rng(seed).standard_normal((rows, 3, 64, 64), np.float32)


def source_of(directory, artifact: bytes, inputs: dict, outputs: dict) -> RuntimeSource:
    document = {"inputs": [inputs], "outputs": [outputs]}
    write_version(directory, artifact, document)
    return RuntimeSource(Manifest.model_validate(onnx_document(artifact) | document), directory, device="cuda")


@pytest.fixture(scope="module")
def net(tmp_path_factory) -> RuntimeSource:
    folder = tmp_path_factory.mktemp("net")
    conv_net.export(folder / "net.onnx")
    image = {"name": conv_net.INPUT_NAME, "datatype": "FP32", "shape": [-1, 3, 64, 64]}
    logits = {"name": conv_net.OUTPUT_NAME, "datatype": "FP32", "shape": [-1, 10]}
    return source_of(folder / "v1", (folder / "net.onnx").read_bytes(), image, logits)


@pytest.mark.parametrize("bind_io", [None, False])
def test_the_gpu_answers_as_the_cpu(net, bind_io):
    gpu, cpu = OnnxRuntime(net, bind_io=bind_io), OnnxRuntime(replace(net, device="cpu"))
    assert (gpu.device, cpu.device) == ("cuda:0", "cpu")
    for rows in (1, 3, 64):
        x = images(rows, rows)
        ours, expected = gpu.predict({"image": x})["logits"], cpu.predict({"image": x})["logits"]
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("precision", "low", "high"), [("fp32", 0, 1e-6), ("tf32", 1e-6, 1e-3)])
def test_factors_are_rounded_only_where_that_was_asked_for(net, precision, low, high):
    x = images(8, 1)
    gpu = OnnxRuntime(replace(net, config=RuntimeConfig(precision=precision)))
    with torch.inference_mode():
        exact = conv_net.conv_net().double()(torch.from_numpy(x).double()).numpy()
    assert low < np.abs(gpu.predict({"image": x})["logits"] - exact).max() < high


def test_instances_in_threads_answer_as_alone(net):
    runtimes = [OnnxRuntime(net) for _ in range(THREADS)]
    check_answers_in_threads(runtimes, "image", [images(5 + turn % 7, turn) for turn in range(TURNS)])


def test_sizes_in_turns_take_no_longer_than_one_size_for_which_the_runtime_is_ready(net):
    runtime, sizes = OnnxRuntime(net), (1, 8, 32)
    assert runtime.wants_few_sizes
    runtime.prepare(len(sizes))
    batches = {rows: {"image": images(rows, rows)} for rows in sizes}
    cpu = OnnxRuntime(replace(net, device="cpu"))
    expected = {rows: cpu.predict(batch)["logits"] for rows, batch in batches.items()}
    seconds = []
    for turn in range(20):
        for rows, batch in batches.items():
            begin = time.perf_counter()
            answer = runtime.predict(batch)["logits"]
            seconds.append(time.perf_counter() - begin if turn else 0.0)
            np.testing.assert_allclose(answer, expected[rows], rtol=1e-4, atol=1e-5)
    assert statistics.median(seconds) < 0.01  # a plan takes 0.025


def test_batches_are_staged_in_pinned_memory_that_is_used_again(net):
    runtime, shape = OnnxRuntime(net), (8, 3, 64, 64)
    answers, places = [], set()
    for _ in range(4):
        batch = runtime.empty(shape, np.dtype(np.float32))
        assert torch.from_numpy(batch).is_pinned()
        batch[:] = images(8, 1)
        places.add(batch.ctypes.data)
        answers.append(runtime.predict({"image": batch})["logits"])
        batch[:] = 99  # what comes next is written there at once
        del batch
    assert len(places) == 1
    assert all((answer == answers[0]).all() for answer in answers)


def test_a_release_executes_few_sizes(net):
    args = {"model": "net", "version": "v1", "source": str(net.directory), "accelerator": "gpu"}
    model = load_model(ReleaseArgs.model_validate(args | {"batching": {"max_rows": 12}}))
    assert model.info.device == "cuda:0"
    assert model.info.allowed_rows == (1, 2, 4, 8, 12)
    assert model.profile.keys() == set(model.info.allowed_rows)


@pytest.mark.parametrize("name", list(TYPES))
def test_every_datatype_passes_unchanged(tmp_path, name):
    shape = {"datatype": name, "shape": [-1, 2]}
    runtime = OnnxRuntime(source_of(tmp_path, identity(TYPES[name]), {"name": "x"} | shape, {"name": "y"} | shape))
    x = np.array([[0, 1], [2, 3]]).astype(Datatype(name).dtype)
    y = runtime.predict({"x": x})["y"]
    assert y.dtype == Datatype(name).dtype
    assert y.tolist() == x.tolist()
