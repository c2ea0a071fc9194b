"""Page-locked memory, which a GPU reads by itself: given out by ONNX Runtime's CUDA provider and used again."""

from __future__ import annotations

import logging
import math
import sys
import weakref
from collections import defaultdict, deque
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from serve_app.types import Array

LEAST_PINNED_BYTES = 2**16  # below it a copy takes less than the bookkeeping

_LIBRARY = "onnxruntime_providers_cuda.dll" if sys.platform == "win32" else "libonnxruntime_providers_cuda.so"

logger = logging.getLogger(__name__)


class PinnedMemory:
    """Arrays in memory of one kind, which comes back once nobody refers to them.

    To lock the pages of 77 MB takes 27 ms, four times what the GPU needs to read and execute them.
    """

    def __init__(self, memory_info: Any) -> None:  # noqa: ANN401 - onnxruntime ships without types
        self._memory_info = memory_info
        self._free: defaultdict[int, deque[Any]] = defaultdict(deque)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Array:
        """An uninitialised array; small ones, and those of objects, lie anywhere."""
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes < LEAST_PINNED_BYTES or dtype.hasobject:
            return np.empty(shape, dtype)
        size = 1 << (nbytes - 1).bit_length()  # few sizes, so that what comes back fits what is asked for
        try:
            value = self._free[size].pop()
        except IndexError:
            value = ort.OrtValue.ortvalue_from_shape_and_type([size], np.uint8, memory_info=self._memory_info)
        memory: Array = value.numpy()  # the same memory; every view refers to this very array
        weakref.finalize(memory, self._free[size].append, value).atexit = False
        return memory[:nbytes].view(dtype).reshape(shape)


@cache
def pinned_memory() -> PinnedMemory | None:
    """The one of this process; None where ONNX Runtime cannot give any."""
    return open_pinned(Path(ort.__file__).parent / "capi" / _LIBRARY)


def open_pinned(library: Path) -> PinnedMemory | None:
    """The memory of the CUDA provider in a library; None, with a warning, where it gives none."""
    try:
        ort.register_execution_provider_library("pinned-memory", str(library))
        devices = [device for device in ort.get_ep_devices() if device.ep_name == "CUDAExecutionProvider"]
        memory = PinnedMemory(devices[0].memory_info(ort.OrtDeviceMemoryType.HOST_ACCESSIBLE))
        memory.empty((LEAST_PINNED_BYTES,), np.dtype(np.uint8))
    except Exception as error:  # older ones lack a part of this, and its exceptions have no base of their own
        logger.warning("batches for ONNX Runtime lie in memory that the GPU cannot read by itself: %s", error)
        return None
    return memory
