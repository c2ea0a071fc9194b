"""PyTorch modules on a GPU: the CPU's answers, from several threads at once, in every datatype and precision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.instances import TURNS, check_answers_in_threads
from support.torch_models import (
    Dictionary,
    Doubling,
    Identity,
    forget_arithmetic,
    save_export,
    save_script,
    source_of,
    tensors,
)

from load_tests.conv_net import conv_net
from load_tests.gpu_cost import export_program
from serve_app.datatypes import Datatype
from serve_app.runtimes import torch_export, torch_script
from serve_app.runtimes.torch_base import DATATYPES, LEAST_PINNED_BYTES, TorchRuntime

# PyTorch 2.11 warns once a process of the file's pages, which it only reads.
pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore:The given buffer is not writable:UserWarning")]

X, IMAGES, LOGITS = tensors("x FP32 -1,2"), tensors("x FP32 -1,3,64,64"), tensors("logits FP32 -1,10")
THREADS = 4


def on_gpu(source):
    return replace(source, device="cuda")


def images(rows: int, seed: int):
    return np.random.default_rng(seed).standard_normal((rows, 3, 64, 64), np.float32)


def exact_logits(x):
    """Of the net in float64 on the CPU."""
    with torch.inference_mode():
        return conv_net().double()(torch.from_numpy(x).double()).numpy()


@pytest.fixture(params=["torch_export", "torchscript"])
def load_net(request, tmp_path):
    """Loads the conv net from a file of either format, on the GPU or the CPU."""
    if request.param == "torch_export":
        file, load = tmp_path / "m.pt2", torch_export.load
        export_program(file, 64)
        source = source_of(file, request.param, IMAGES, LOGITS)
    else:
        file, load = save_script(conv_net(), tmp_path / "m.pt"), torch_script.load
        source = source_of(file, request.param, IMAGES, LOGITS)
        source = replace(source, trusted_sha256=(source.manifest.sha256,))
    return lambda device="cuda", **config: load(
        replace(source, device=device, config=source.config.model_copy(update=config))
    )


def test_the_gpu_answers_as_the_cpu(load_net):
    gpu, cpu = load_net(), load_net("cpu")
    assert gpu.device == "cuda:0"
    for rows in (1, 3, 64):
        x = images(rows, rows)
        ours, expected = gpu.predict({"x": x})["logits"], cpu.predict({"x": x})["logits"]
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_instances_in_threads_answer_as_alone(load_net):
    runtimes = [load_net() for _ in range(THREADS)]
    check_answers_in_threads(runtimes, "x", [images(5 + turn % 7, turn) for turn in range(TURNS)])


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_is_near_and_keeps_the_datatype(load_net, precision):
    x = images(8, 1)
    exact, half = (load_net(precision=name).predict({"x": x})["logits"] for name in ("fp32", precision))
    assert half.dtype == np.float32
    assert 1e-7 < np.abs(half - exact).max() < 0.05 * np.abs(exact).max()


@pytest.mark.parametrize(("precision", "low", "high"), [("fp32", 0, 1e-6), ("tf32", 1e-6, 1e-3)])
def test_factors_are_rounded_only_where_that_was_asked_for(load_net, precision, low, high):
    forget_arithmetic()
    x = images(8, 1)
    error = load_net(precision=precision).predict({"x": x})["logits"] - exact_logits(x)
    assert low < np.abs(error).max() < high


@pytest.mark.parametrize("datatype", list(DATATYPES.values()))
def test_every_datatype_goes_there_and_back(tmp_path, datatype):
    (tmp_path / "m.pt").write_bytes(b"")
    both = tensors(f"x {datatype} -1,2"), tensors(f"y {datatype} -1,2")
    runtime = TorchRuntime(lambda x: x.clone(), on_gpu(source_of(tmp_path / "m.pt", "torchscript", *both)))
    x = np.array([[0, 1], [2, 3]]).astype(datatype.dtype)
    y = runtime.predict({"x": x})["y"]
    assert y.dtype == Datatype(datatype).dtype
    assert y.tolist() == x.tolist()


def test_answers_are_copies_because_a_model_may_use_its_buffer_again(tmp_path):
    (tmp_path / "m.pt").write_bytes(b"")
    buffer = torch.zeros(2, 2, device="cuda")
    runtime = TorchRuntime(buffer.copy_, on_gpu(source_of(tmp_path / "m.pt", "torchscript", X, tensors("y FP32 -1,2"))))
    first = runtime.predict({"x": np.full((2, 2), 1, np.float32)})["y"]
    second = runtime.predict({"x": np.full((2, 2), 2, np.float32)})["y"]
    assert (first.tolist(), second.tolist()) == ([[1, 1]] * 2, [[2, 2]] * 2)


@pytest.mark.parametrize("rows", [2, 2 * LEAST_PINNED_BYTES])
def test_read_only_inputs_are_left_as_they_are(tmp_path, rows):
    source = on_gpu(source_of(save_script(Identity(), tmp_path / "m.pt"), "torchscript", X, tensors("y FP32 -1,2")))
    x = np.ones((rows, 2), np.float32)
    x.setflags(write=False)
    runtime = TorchRuntime(lambda x: x.mul_(2), source)
    assert (runtime.predict({"x": x})["y"] == 2).all()
    assert (x == 1).all()


@pytest.mark.parametrize("datatype", [np.dtype(np.float32), Datatype.BF16.dtype])
def test_batches_are_staged_in_pinned_memory_that_is_used_again(tmp_path, datatype):
    name = "FP32" if datatype == np.float32 else "BF16"
    both = tensors(f"x {name} -1,2"), tensors(f"y {name} -1,2")
    runtime = TorchRuntime(
        lambda x: x + 1, on_gpu(source_of(save_script(Identity(), tmp_path / "m.pt"), "torchscript", *both))
    )
    shape = (LEAST_PINNED_BYTES, 2)
    assert torch.from_numpy(runtime.empty(shape, datatype).view(np.uint8)).is_pinned()
    answers = []
    for turn in range(TURNS):
        batch = runtime.empty(shape, datatype)
        batch[:] = turn
        answers.append(runtime.predict({"x": batch})["y"])
        batch[:] = 99  # what comes next is written there at once
    assert [float(answer[0, 0]) for answer in answers] == list(range(1, TURNS + 1))
    assert all((answer == answer[0, 0]).all() for answer in answers)


def test_names_and_keywords_hold_on_the_gpu(tmp_path):
    example = torch.ones(2, 2)
    file = save_export(Dictionary(), tmp_path / "m.pt2", example, scale=2 * example)
    inputs, outputs = tensors("x FP32 -1,2", "scale FP32 -1,2"), tensors("difference FP32 -1,2", "product FP32 -1,2")
    runtime = torch_export.load(on_gpu(source_of(file, "torch_export", inputs, outputs)))
    answer = runtime.predict({"x": np.array([[6, 8]], np.float32), "scale": np.array([[2, 3]], np.float32)})
    assert answer["difference"].tolist() == [[4, 5]]
    assert answer["product"].tolist() == [[12, 24]]


def test_a_batch_that_does_not_fit_fails_alone(tmp_path):
    """Out of memory is an error of that batch; the next one is served."""
    file = save_export(Doubling(), tmp_path / "m.pt2", torch.ones(2, 2))
    source = on_gpu(source_of(file, "torch_export", X, tensors("twice FP32 -1,2", "total INT64 -1")))
    runtime = torch_export.load(source)
    free = torch.cuda.mem_get_info()[0]
    too_much = torch.empty(int(0.98 * free), dtype=torch.uint8, device="cuda")
    with pytest.raises(torch.OutOfMemoryError):
        runtime.predict({"x": np.ones((int(0.015 * free) // 8, 2), np.float32)})
    del too_much
    torch.cuda.empty_cache()
    assert runtime.predict({"x": np.ones((1, 2), np.float32)})["twice"].tolist() == [[2, 2]]
