"""Executing a PyTorch module on arrays: devices, precision, threads and the way between NumPy and tensors."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import ml_dtypes
import numpy as np
import torch

from serve_app.config.tensors import TensorConfig
from serve_app.datatypes import Datatype
from serve_app.errors import AcceleratorMissing, ConfigError
from serve_app.runtimes.answer import by_name
from serve_app.runtimes.base import RuntimeSource
from serve_app.runtimes.denormals import arithmetic
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

LEAST_PINNED_BYTES = 2**16  # below it a copy takes less than PyTorch's bookkeeping

Module = Callable[..., object]

logger = logging.getLogger(__name__)


class TorchRuntime:
    """A PyTorch module in inference mode.

    Attributes:
        device: `cpu` or `cuda:0`.
        fixed_rows: As given.
    """

    def __init__(
        self, module: Module, source: RuntimeSource, keywords: Sequence[str] = (), fixed_rows: int | None = None
    ) -> None:
        """Wrap a module that is on its device already.

        Args:
            module: Called with the inputs in the signature's order.
            source: The signature, the device and the configuration.
            keywords: Names under which the last inputs are passed by keyword; the others go by position.
            fixed_rows: Rows that every execution must have, where the module says so.
        """
        self._module, self.fixed_rows = module, fixed_rows
        self._inputs, self._outputs = source.manifest.inputs, source.manifest.outputs
        self._positional = len(self._inputs) - len(keywords)
        self._keywords = tuple(keywords)
        self._precision = _PRECISIONS.get(source.config.precision)
        # PyTorch's threads keep to it if this module is the first to use them in its thread.
        self._arithmetic = arithmetic(denormals_as_zero=source.config.denormals_as_zero)
        self.device = device_of(source)
        # A stream of its own lets one instance copy while another computes; weights came on the default stream.
        self._stream = None if self.device == "cpu" else torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        if self._stream is not None:
            torch.cuda.synchronize(self.device)

    def predict(self, inputs: Tensors) -> Tensors:
        """Execute one batch; see `Runtime.predict`. Writable inputs are not copied on the CPU.

        Raises:
            ValueError: The module's answer does not fit the signature.
            TypeError: The module answered with something that is no tensor.
        """
        with self._on_stream(), self._arithmetic():
            tensors = [self._to_device(inputs[config.name]) for config in self._inputs]
            by_keyword = dict(zip(self._keywords, tensors[self._positional :], strict=True))
            with torch.inference_mode(), self._autocast():
                answer = self._module(*tensors[: self._positional], **by_keyword)
            named = by_name(answer, self._outputs)
            values = {config.name: self._to_host(named[config.name], config) for config in self._outputs}
        if self._stream is not None:
            self._stream.synchronize()  # once for all outputs
        return {name: to_array(value) for name, value in values.items()}

    def _on_stream(self) -> AbstractContextManager[object]:
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Array:
        """An uninitialised array; for a GPU, which reads pinned memory by itself, one that need not be copied there.

        PyTorch keeps what is freed of it and gives it out again, so its pages are not mapped anew for each batch.
        """
        nbytes = math.prod(shape) * dtype.itemsize
        if self._stream is None or nbytes < LEAST_PINNED_BYTES:
            return np.empty(shape, dtype)
        memory: Array = torch.empty(nbytes, dtype=torch.uint8, pin_memory=True).numpy()
        return memory.view(dtype).reshape(shape)

    def _to_device(self, array: Array) -> torch.Tensor:
        """The array itself on the CPU, else its copy under way, from pinned memory."""
        if self._stream is None:
            return to_tensor(array)
        if not array.flags.writeable:
            read_only, array = array, self.empty(array.shape, array.dtype)
            np.copyto(array, read_only)
        return to_tensor(array).pin_memory().to(self.device, non_blocking=True)

    def _autocast(self) -> AbstractContextManager[object]:
        if self._precision is None:
            return nullcontext()
        return torch.autocast(self.device.partition(":")[0], dtype=self._precision)

    def _to_host(self, value: object, config: TensorConfig) -> torch.Tensor:
        """A copy, contiguous: a model may use its buffer again while we still hand out rows of it."""
        if not isinstance(value, torch.Tensor):
            raise TypeError(f"output {config.name!r} is a {type(value).__name__}, not a tensor")
        if self._precision is not None and value.is_floating_point():
            value = value.to(_DTYPES[config.datatype])  # autocast changed it; the signature does not change
        # From a GPU this only begins the copy, to pinned memory.
        return value.detach().contiguous().to("cpu", non_blocking=self._stream is not None, copy=True)


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
    """Check the signature's datatypes and set the threads and the arithmetic that PyTorch uses in this whole process.

    Raises:
        ConfigError: A tensor is BYTES.
    """
    for config in (*source.manifest.inputs, *source.manifest.outputs):
        if config.datatype not in _DTYPES:
            raise ConfigError(f"{source.artifact}: {config.name!r} is {config.datatype}, which PyTorch does not have")
    torch.set_num_threads(source.threads)  # wins over the OMP_NUM_THREADS that Ray sets, in threads to come too
    _set_arithmetic(source.config.precision)


def _set_arithmetic(precision: str) -> None:
    """Say how a GPU multiplies in float32; by itself PyTorch rounds the factors of convolutions to TF32.

    Once a process: where models differ, none gets less than the fp32 that one of them has asked for.
    """
    if precision in _PRECISIONS:
        return
    # The older of PyTorch's two ways to say it: its own exporter cannot read what was said in the newer one.
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    rounds = precision == "tf32" and convolutions.allow_tf32
    if precision == "tf32" and not rounds:
        logger.warning("tf32 is not used: another PyTorch model of this process computes in fp32")
    if precision == "fp32" and products.allow_tf32:
        logger.warning("PyTorch models of this process that asked for tf32 compute in fp32 from now on, as another")
    convolutions.allow_tf32 = products.allow_tf32 = rounds


def to_tensor(array: Array) -> torch.Tensor:
    """The array as a CPU tensor: the same memory if it is writable, else a copy (PyTorch has no read-only tensors)."""
    writable = array if array.flags.writeable else array.copy()
    if writable.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(writable.view(np.uint16)).view(torch.bfloat16)
    return torch.from_numpy(writable)


def to_array(value: torch.Tensor) -> Array:
    """The CPU tensor as an array over the same memory."""
    if value.dtype == torch.bfloat16:
        return value.view(torch.uint16).numpy().view(ml_dtypes.bfloat16)
    array: Array = value.numpy()
    return array
