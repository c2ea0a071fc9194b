from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.denormals import AS_ZERO, doubled, doubled_rows, many
from support.torch_models import Doubling, Identity, Linear, forget_arithmetic, source_of, tensors

from serve_app.datatypes import Datatype
from serve_app.errors import AcceleratorMissing, ConfigError
from serve_app.runtimes.base import RuntimeSource, StagingRuntime
from serve_app.runtimes.torch_base import DATATYPES, TorchRuntime, prepare, to_array, to_tensor

X = tensors("x FP32 -1,2")


@pytest.fixture
def file(tmp_path):
    (tmp_path / "m.pt").write_bytes(b"")
    return tmp_path / "m.pt"


@pytest.mark.parametrize("datatype", list(DATATYPES.values()))
def test_every_datatype_goes_there_and_back(datatype):
    array = np.array([[0, 1], [2, 3]]).astype(datatype.dtype)
    back = to_array(to_tensor(array))
    assert DATATYPES[to_tensor(array).dtype] is datatype
    assert back.dtype == datatype.dtype
    assert back.tolist() == array.tolist()


@pytest.mark.parametrize("datatype", ["FP32", "BF16"])
def test_answers_are_copies_because_a_model_may_use_its_buffer_again(file, datatype):
    buffer = to_tensor(np.array([[1, 2], [3, 4]], Datatype(datatype).dtype)).T  # not contiguous
    source = source_of(file, "torchscript", X, tensors(f"y {datatype} -1,2"))
    answer = TorchRuntime(lambda x: buffer, source).predict({"x": np.ones((2, 2), np.float32)})["y"]
    buffer.zero_()
    assert answer.tolist() == [[1, 3], [2, 4]]
    assert answer.flags.c_contiguous


def test_writable_inputs_are_not_copied_and_read_only_ones_are():
    array = np.ones((2, 2), np.float32)
    assert to_tensor(array).data_ptr() == array.ctypes.data
    array.setflags(write=False)
    assert to_tensor(array).data_ptr() != array.ctypes.data


def test_a_batch_for_the_cpu_may_lie_anywhere(file):
    runtime = TorchRuntime(Identity(), source_of(file, "torchscript", X, tensors("y FP32 -1,2")))
    array = runtime.empty((50_000, 2), np.dtype(np.float32))
    array[:] = 3
    assert isinstance(runtime, StagingRuntime)
    assert runtime.predict({"x": array})["y"].tolist() == [[3, 3]] * 50_000


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "UINT16", "BOOL"])
def test_small_datatypes_pass_a_module(file, datatype):
    source = source_of(file, "torchscript", tensors(f"x {datatype} -1,2"), tensors(f"y {datatype} -1,2"))
    x = np.array([[1, 0]]).astype(Datatype(datatype).dtype)
    module = Identity() if datatype != "BOOL" else lambda x: x
    answer = TorchRuntime(module, source).predict({"x": x})["y"]
    assert answer.dtype == Datatype(datatype).dtype
    assert answer.tolist() == x.tolist()


def test_the_module_runs_without_gradients(file):
    seen = []

    def module(x):
        seen.append(torch.is_inference_mode_enabled())
        return x

    TorchRuntime(module, source_of(file, "torchscript", X, tensors("y FP32 -1,2"))).predict(
        {"x": np.ones((1, 2), np.float32)}
    )
    assert seen == [True]


@pytest.mark.parametrize(("is_zero", "first"), [(True, AS_ZERO), (False, doubled())])
def test_denormal_numbers_are_zero_in_every_thread_unless_a_model_needs_them(file, is_zero, first):
    source = source_of(file, "torchscript", X, tensors("y FP32 -1,2"), threads=2, denormals_as_zero=is_zero)
    prepare(source)
    runtime = TorchRuntime(lambda x: x + x, source)
    with ThreadPoolExecutor(1) as instance:  # PyTorch begins the threads that help it
        y = instance.submit(runtime.predict, {"x": many()}).result()["y"]
        after = instance.submit(doubled).result()
    assert np.array_equal(y, doubled_rows(first))
    assert after > 0  # what else the thread does is as it was


def test_precision_changes_the_arithmetic_and_not_the_datatype(file):
    # 1 + 2**-10 has eleven significant bits: float32 and fp16 hold it, bf16 (eight) rounds it to 1.
    x = np.array([[1 + 2**-10, 0]], np.float32)
    expected = {"fp32": 1 + 2**-10, "fp16": 1 + 2**-10, "bf16": 1.0}
    for precision, total in expected.items():
        source = source_of(file, "torchscript", X, tensors("y FP32 -1,1"), precision=precision)
        answer = TorchRuntime(Linear().eval(), source).predict({"x": x})["y"]
        assert answer.dtype == np.float32
        assert answer.tolist() == [[total]]


def test_outputs_are_named_by_position(file):
    source = source_of(file, "torchscript", X, tensors("twice FP32 -1,2", "total INT64 -1"))
    answer = TorchRuntime(Doubling(), source).predict({"x": np.array([[1, 2]], np.float32)})
    assert {name: array.tolist() for name, array in answer.items()} == {"twice": [[2.0, 4.0]], "total": [3]}


def test_an_output_that_is_no_tensor_is_refused(file):
    runtime = TorchRuntime(lambda x: 3, source_of(file, "torchscript", X, tensors("y FP32 -1")))
    with pytest.raises(TypeError, match="output 'y' is a int, not a tensor"):
        runtime.predict({"x": np.ones((1, 2), np.float32)})


def test_bytes_have_no_tensor(file):
    with pytest.raises(ConfigError, match="'s' is BYTES, which PyTorch does not have"):
        prepare(source_of(file, "torchscript", tensors("s BYTES -1"), tensors("y FP32 -1")))


def test_threads_are_set(file):
    prepare(source_of(file, "torchscript", X, X, threads=2))
    assert torch.get_num_threads() == 2
    prepare(replace(source_of(file, "torchscript", X, X), cpus=2.5))
    assert torch.get_num_threads() == 2
    prepare(source_of(file, "torchscript", X, X))
    assert torch.get_num_threads() == 1
    with ThreadPoolExecutor(1) as thread:  # a worker thread that starts later has the same limit
        assert thread.submit(torch.get_num_threads).result() == 1


@pytest.mark.parametrize(
    ("precisions", "rounds", "warning"),
    [
        (["fp32"], False, ""),
        (["tf32"], True, ""),
        (["tf32", "fp32"], False, "compute in fp32 from now on"),
        (["fp32", "tf32"], False, "tf32 is not used"),
        (["tf32", "bf16"], True, ""),
    ],
)
def test_the_most_exact_model_of_a_process_sets_its_arithmetic(file, caplog, precisions, rounds, warning):
    forget_arithmetic()
    for precision in precisions:
        prepare(source_of(file, "torchscript", X, X, precision=precision))
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == (rounds, rounds)
    assert bool(caplog.messages) is bool(warning)
    assert warning in caplog.text


def test_cuda_is_refused_where_there_is_none(file, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cpu = source_of(file, "torchscript", X, X)
    with pytest.raises(AcceleratorMissing):
        TorchRuntime(Identity(), RuntimeSource(cpu.manifest, cpu.directory, "cuda"))
