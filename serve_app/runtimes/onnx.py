"""Models in ONNX, executed by ONNX Runtime on CPU or CUDA."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Collection, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnxruntime as ort

from serve_app.config.tensors import TensorConfig
from serve_app.datatypes import Datatype
from serve_app.errors import ConfigError, ManifestError
from serve_app.runtimes.answer import bytes_of, texts_of
from serve_app.runtimes.base import RuntimeSource
from serve_app.runtimes.denormals import arithmetic
from serve_app.runtimes.fixed_rows import fixed_rows
from serve_app.runtimes.onnx_session import BoundSessions, has_convolutions, open_session
from serve_app.runtimes.pinned import pinned_memory
from serve_app.runtimes.signature import Signature, tensor
from serve_app.types import Array, Tensors

MOST_SESSIONS = 16  # each has weights of its own, and 130 MiB of CUDA's libraries

logger = logging.getLogger(__name__)

_BFLOAT16 = 16  # onnx.TensorProto.BFLOAT16
_TYPES = {
    "tensor(bool)": Datatype.BOOL,
    "tensor(uint8)": Datatype.UINT8,
    "tensor(uint16)": Datatype.UINT16,
    "tensor(uint32)": Datatype.UINT32,
    "tensor(uint64)": Datatype.UINT64,
    "tensor(int8)": Datatype.INT8,
    "tensor(int16)": Datatype.INT16,
    "tensor(int32)": Datatype.INT32,
    "tensor(int64)": Datatype.INT64,
    "tensor(float16)": Datatype.FP16,
    "tensor(bfloat16)": Datatype.BF16,
    "tensor(float)": Datatype.FP32,
    "tensor(double)": Datatype.FP64,
    "tensor(string)": Datatype.BYTES,
}


class OnnxRuntime:
    """One ONNX Runtime session with threads of its own, or on a GPU one for each size of a graph with convolutions.

    Attributes:
        device: `cpu` or `cuda:0`.
        fixed_rows: Rows that every execution must have, where the graph fixes its axis 0.
        wants_few_sizes: Whether an execution of other rows than the one before is slow.
    """

    def __init__(self, source: RuntimeSource, *, bind_io: bool | None = None) -> None:
        """Load the verified artifact.

        Args:
            source: What to load.
            bind_io: Whether tensors go through an IO binding; None binds on CUDA, and where a tensor is BF16, which
                `session.run` has no NumPy dtype for. BYTES cannot be bound, so models with them are never bound.

        Raises:
            ManifestError: The file is no ONNX model, its signature is not the manifest's, or it fixes its batch axis
                to other rows than the release's batching gives it.
            AcceleratorMissing: CUDA was asked for and the session does not have it.
            ConfigError: The model has BF16 and BYTES tensors.
        """
        path, manifest = source.artifact, source.manifest
        self._open = partial(open_session, path, source.device, source.threads, source.config)
        self._session = self._open()
        self._arithmetic = arithmetic(denormals_as_zero=source.config.denormals_as_zero)
        self._inputs, self._outputs = manifest.inputs, manifest.outputs
        self._feeds = tuple((config.name, _source(config)) for config in manifest.inputs)
        self._names = tuple(config.name for config in manifest.outputs)
        self._fetches = [_source(config) for config in manifest.outputs]
        self.device = "cuda:0" if source.device == "cuda" else "cpu"
        self.fixed_rows = fixed_rows(_fixed_lengths(_checked_arguments(self._session, source)), path)
        datatypes = {config.datatype for config in (*self._inputs, *self._outputs)}
        if {Datatype.BF16, Datatype.BYTES} <= datatypes:
            raise ConfigError(f"{path}: ONNX Runtime's Python API has no way to pass BF16 and BYTES to one model")
        wanted = source.device == "cuda" or Datatype.BF16 in datatypes if bind_io is None else bind_io
        self._bound = BoundSessions(self._session) if wanted and Datatype.BYTES not in datatypes else None
        self._has_texts = Datatype.BYTES in datatypes
        self._pinned = pinned_memory() if source.device == "cuda" and self._bound is not None else None
        is_planned = source.device == "cuda" and self._bound is not None and has_convolutions(path)
        self.wants_few_sizes = is_planned and self.fixed_rows is None

    def prepare(self, sizes: int) -> None:
        """Open a session for each of so many sizes; with fewer, for want of memory, some will take turns."""
        while self._bound is not None and len(self._bound) < min(sizes, MOST_SESSIONS):
            try:
                self._bound.add(self._open())
            except ManifestError as error:
                logger.warning("%d sizes share %d sessions: %s", sizes, len(self._bound), error)
                return

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Array:
        """An uninitialised array; for a GPU in memory that it reads by itself."""
        return np.empty(shape, dtype) if self._pinned is None else self._pinned.empty(shape, dtype)

    def predict(self, inputs: Tensors) -> Tensors:
        """Execute one batch; see `Runtime.predict`.

        Raises:
            InvalidInput: A BYTES element is not UTF-8: ONNX strings are texts.
        """
        with self._arithmetic():
            if self._bound is not None:
                return self._run_bound(self._bound, inputs)
            if self._has_texts:
                return self._run_texts(inputs)
            answer = self._session.run(self._fetches, {source: inputs[name] for name, source in self._feeds})
        return dict(zip(self._names, answer, strict=True))

    def _run_texts(self, inputs: Tensors) -> Tensors:
        feed = {_source(config): _fed(inputs[config.name], config) for config in self._inputs}
        pairs = zip(self._outputs, self._session.run(self._fetches, feed), strict=True)
        return {config.name: bytes_of(a) if config.datatype is Datatype.BYTES else a for config, a in pairs}

    def _run_bound(self, sessions: BoundSessions, inputs: Tensors) -> Tensors:
        """Execute through a binding; outputs are bound anew, or ONNX Runtime would write into the last answer."""
        session, binding = sessions.of(tuple(inputs[name].shape for name, _ in self._feeds))
        for name, source in self._feeds:
            binding.bind_ortvalue_input(source, _value(inputs[name]))  # copied to the session's device
        for source in self._fetches:
            binding.bind_output(source, "cpu")  # ONNX Runtime copies from the device as part of the run
        session.run_with_iobinding(binding)
        binding.clear_binding_inputs()  # or their memory could not be used for the next batch
        return {name: _array(value) for name, value in zip(self._names, binding.get_outputs(), strict=True)}


def infer(file: Path) -> Signature:
    """The inputs and outputs of the ONNX graph; every axis without a fixed length is -1.

    Raises:
        ManifestError: The file is no ONNX model, has a tensor that V2 has no datatype for, or one without axes, or
            axis 0 is fixed to different lengths.
    """
    session = open_session(file, "cpu", 1)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    return Signature(
        tuple(_tensor_of(argument, file) for argument in inputs),
        tuple(_tensor_of(argument, file) for argument in outputs),
        fixed_rows(_fixed_lengths([*inputs, *outputs]), file),
    )


def infer_fixed_rows(file: Path, tensors: Collection[TensorConfig]) -> int | None:
    """Rows that every execution of the ONNX graph has; None where the batch axes of `tensors` are free.

    Raises:
        ManifestError: The file is no ONNX model, or axis 0 is fixed to different lengths.
    """
    session, sources = open_session(file, "cpu", 1), {_source(config) for config in tensors}
    arguments = [*session.get_inputs(), *session.get_outputs()]
    return fixed_rows(_fixed_lengths(argument for argument in arguments if argument.name in sources), file)


def _fixed_lengths(arguments: Iterable[Any]) -> dict[str, int]:
    return {
        argument.name: argument.shape[0]
        for argument in arguments
        if argument.shape and isinstance(argument.shape[0], int)
    }


def _checked_arguments(session: Any, source: RuntimeSource) -> list[Any]:  # noqa: ANN401 - onnxruntime has no types
    """The graph's inputs and outputs that the manifest names; refused if they are not as it says."""
    manifest, path = source.manifest, str(source.artifact)
    known: list[Any] = []
    for kind, configs, arguments in (
        ("input", manifest.inputs, session.get_inputs()),
        ("output", manifest.outputs, session.get_outputs()),
    ):
        graph = {argument.name: argument for argument in arguments}
        for config in configs:
            argument = graph.pop(_source(config), None)
            known.append(argument)
            if argument is None:
                raise ManifestError(path, f"the graph has no {kind} {_source(config)!r}; set the {kind}'s source")
            if _TYPES.get(argument.type) is not config.datatype:
                raise ManifestError(path, f"{kind} {config.name!r} is {argument.type}, not {config.datatype}")
            if not _fits(config.shape, argument.shape):
                raise ManifestError(path, f"{kind} {config.name!r} is {argument.shape}, not {list(config.shape)}")
        if kind == "input" and graph:
            raise ManifestError(path, f"the graph's input {next(iter(graph))!r} is not in the manifest")
    return known


def _fits(declared: tuple[int, ...], actual: list[int | str | None]) -> bool:
    """Whether the declared fixed axes are possible, axis 0 left aside; an output of unknown rank has no axes."""
    if not actual:
        return True
    if len(declared) != len(actual):
        return False
    return all(not isinstance(b, int) or a == b for a, b in zip(declared[1:], actual[1:], strict=True))


def _tensor_of(argument: Any, file: Path) -> TensorConfig:  # noqa: ANN401 - onnxruntime ships without types
    datatype = _TYPES.get(argument.type)
    if datatype is None:
        raise ManifestError(str(file), f"tensor {argument.name!r} is {argument.type}, which V2 has no datatype for")
    if not argument.shape:
        raise ManifestError(str(file), f"tensor {argument.name!r} has no axes, and axis 0 is the batch axis")
    return tensor(argument.name, datatype, tuple(axis if isinstance(axis, int) else -1 for axis in argument.shape))


def _source(config: TensorConfig) -> str:
    return config.source or config.name


def _fed(array: Array, config: TensorConfig) -> Array:
    return texts_of(array, config.name) if config.datatype is Datatype.BYTES else array


def _value(array: Array) -> Any:  # noqa: ANN401 - onnxruntime ships without types
    """The array's own memory as a CPU value."""
    if array.dtype == ml_dtypes.bfloat16:
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(np.uint16), _BFLOAT16)
    return ort.OrtValue.ortvalue_from_numpy(array)


def _array(value: Any) -> Array:  # noqa: ANN401 - onnxruntime ships without types
    """A CPU value as an array; BF16 is copied out of its memory, as OrtValue.numpy() does not know it."""
    if value.data_type() != "tensor(bfloat16)":
        array: Array = value.numpy()
        return array
    shape = value.shape()
    memory = ctypes.string_at(value._ortvalue.data_ptr(), 2 * int(np.prod(shape)))
    copied: Array = np.frombuffer(memory, dtype=np.uint16).view(ml_dtypes.bfloat16).reshape(shape).copy()
    return copied
