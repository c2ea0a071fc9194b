import gc

import numpy as np
import onnxruntime as ort
import pytest

from serve_app.datatypes import Datatype
from serve_app.runtimes.pinned import LEAST_PINNED_BYTES, PinnedMemory, open_pinned

FP32 = np.dtype(np.float32)


@pytest.fixture
def memory() -> PinnedMemory:
    """Of the CPU, which is like that of a GPU but for its pages."""
    cpu = next(device for device in ort.get_ep_devices() if device.ep_name == "CPUExecutionProvider")
    return PinnedMemory(cpu.memory_info(ort.OrtDeviceMemoryType.DEFAULT))


def address(array) -> int:
    return array.ctypes.data


def test_memory_nobody_refers_to_is_used_again(memory):
    first = memory.empty((LEAST_PINNED_BYTES, 2), FP32)
    first[:] = 1
    place, row = address(first), first[5:6]
    del first
    other = memory.empty((LEAST_PINNED_BYTES, 2), FP32)
    other[:] = 2
    assert address(other) != place
    assert row.tolist() == [[1, 1]]
    del row
    gc.collect()
    assert address(memory.empty((LEAST_PINNED_BYTES - 1, 2), FP32)) == place


@pytest.mark.parametrize("dtype", [FP32, Datatype.BF16.dtype, np.dtype(bool), np.dtype(object)])
@pytest.mark.parametrize("rows", [0, 1, LEAST_PINNED_BYTES])
def test_arrays_are_as_numpy_s(memory, dtype, rows):
    array = memory.empty((rows, 3), dtype)
    assert (array.shape, array.dtype, array.flags.c_contiguous) == ((rows, 3), dtype, True)
    array[:] = np.ones((rows, 3)).astype(dtype)
    assert (array == 1).all()


def test_without_the_library_there_is_none_and_that_is_said(tmp_path, caplog):
    assert open_pinned(tmp_path / "missing.so") is None
    assert "the GPU cannot read by itself" in caplog.text
