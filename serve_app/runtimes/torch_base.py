"""Executing a PyTorch module on arrays: devices, precision, threads and the way between NumPy and tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import ml_dtypes
import numpy as np
import torch

from serve_app.config.manifest import TensorConfig
from serve_app.datatypes import Datatype
from serve_app.errors import AcceleratorMissing, ConfigError
from serve_app.runtimes.answer import by_name
from serve_app.runtimes.base import RuntimeSource
from serve_app.types import Array, Tensors

DATATYPES = {
    torch.bool: Datatype.BOOL,
    torch.uint8: Datatype.UINT8,
    torch.uint16: Datatype.UINT16,
    torch.uint32: Datatype.UINT32,
    torch.uint64: Datatype.UINT64,
    torch.int8: Datatype.INT8,
    torch.int16: Datatype.INT16,
    torch.int32: Datatype.INT32,
    torch.int64: Datatype.INT64,
    torch.float16: Datatype.FP16,
    torch.bfloat16: Datatype.BF16,
    torch.float32: Datatype.FP32,
    torch.float64: Datatype.FP64,
}
_DTYPES = {datatype: dtype for dtype, datatype in DATATYPES.items()}
_PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16}

Module = Callable[..., object]


class TorchRuntime:
    """A PyTorch module in inference mode.

    Attributes:
        device: `cpu` or `cuda:0`.
    """

    def __init__(self, module: Module, source: RuntimeSource, keywords: Sequence[str] = ()) -> None:
        """Wrap a module that is on its device already.

        Args:
            module: Called with the inputs in the signature's order.
            source: The signature, the device and the configuration.
            keywords: Names under which the last inputs are passed by keyword; the others go by position.
        """
        self._module = module
        self._inputs, self._outputs = source.manifest.inputs, source.manifest.outputs
        self._positional = len(self._inputs) - len(keywords)
        self._keywords = tuple(keywords)
        self._precision = _PRECISIONS.get(source.config.precision)
        self.device = device_of(source)

    def predict(self, inputs: Tensors) -> Tensors:
        """Execute one batch; see `Runtime.predict`. Writable inputs are not copied on the CPU.

        Raises:
            ValueError: The module's answer does not fit the signature.
            TypeError: The module answered with something that is no tensor.
        """
        tensors = [to_tensor(inputs[config.name]).to(self.device) for config in self._inputs]
        by_keyword = dict(zip(self._keywords, tensors[self._positional :], strict=True))
        with torch.inference_mode(), self._autocast():
            answer = self._module(*tensors[: self._positional], **by_keyword)
        named = by_name(answer, self._outputs)
        return {config.name: self._array(named[config.name], config) for config in self._outputs}

    def _autocast(self) -> AbstractContextManager[object]:
        if self._precision is None:
            return nullcontext()
        return torch.autocast(self.device.partition(":")[0], dtype=self._precision)

    def _array(self, value: object, config: TensorConfig) -> Array:
        if not isinstance(value, torch.Tensor):
            raise TypeError(f"output {config.name!r} is a {type(value).__name__}, not a tensor")
        if self._precision is not None and value.is_floating_point():
            value = value.to(_DTYPES[config.datatype])  # autocast changed it; the signature does not change
        return to_array(value)


def device_of(source: RuntimeSource) -> str:
    """The device's full name.

    Raises:
        AcceleratorMissing: CUDA was chosen and PyTorch sees none.
    """
    if source.device != "cuda":
        return "cpu"
    if not torch.cuda.is_available():
        raise AcceleratorMissing(f"{source.artifact.name} (PyTorch {torch.__version__})")
    return "cuda:0"


def prepare(source: RuntimeSource) -> None:
    """Check the signature's datatypes and set the threads that PyTorch uses in this whole process.

    Raises:
        ConfigError: A tensor is BYTES.
    """
    for config in (*source.manifest.inputs, *source.manifest.outputs):
        if config.datatype not in _DTYPES:
            raise ConfigError(f"{source.artifact}: {config.name!r} is {config.datatype}, which PyTorch does not have")
    torch.set_num_threads(source.config.threads)


def to_tensor(array: Array) -> torch.Tensor:
    """The array as a CPU tensor: the same memory if it is writable, else a copy (PyTorch has no read-only tensors)."""
    writable = array if array.flags.writeable else array.copy()
    if writable.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(writable.view(np.uint16)).view(torch.bfloat16)
    return torch.from_numpy(writable)


def to_array(value: torch.Tensor) -> Array:
    """A copy of the tensor as an array: a model may use its buffer again while we still hand out rows of it."""
    value = value.detach().to("cpu", copy=True).contiguous()
    if value.dtype == torch.bfloat16:
        return value.view(torch.uint16).numpy().view(ml_dtypes.bfloat16)
    array: Array = value.numpy()
    return array
