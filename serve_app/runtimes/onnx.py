"""Models in ONNX, executed by ONNX Runtime on CPU or CUDA."""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnxruntime as ort

from serve_app.config.tensors import TensorConfig
from serve_app.datatypes import Datatype
from serve_app.errors import AcceleratorMissing, ConfigError, ManifestError
from serve_app.runtimes.answer import bytes_of, texts_of
from serve_app.runtimes.base import RuntimeSource
from serve_app.runtimes.fixed_rows import fixed_rows
from serve_app.runtimes.signature import Signature, tensor
from serve_app.types import Array, Tensors

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
    """One ONNX Runtime session with threads of its own.

    Attributes:
        device: `cpu` or `cuda:0`.
        fixed_rows: Rows that every execution must have, where the graph fixes its axis 0.
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
        self._session = _open_session(path, source.device, source.threads, source.config.precision)
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
        self._binding = self._session.io_binding() if wanted and Datatype.BYTES not in datatypes else None
        self._has_texts = Datatype.BYTES in datatypes

    def predict(self, inputs: Tensors) -> Tensors:
        """Execute one batch; see `Runtime.predict`.

        Raises:
            InvalidInput: A BYTES element is not UTF-8: ONNX strings are texts.
        """
        if self._binding is not None:
            return self._run_bound(self._binding, inputs)
        if self._has_texts:
            return self._run_texts(inputs)
        answer = self._session.run(self._fetches, {source: inputs[name] for name, source in self._feeds})
        return dict(zip(self._names, answer, strict=True))

    def _run_texts(self, inputs: Tensors) -> Tensors:
        feed = {_source(config): _fed(inputs[config.name], config) for config in self._inputs}
        pairs = zip(self._outputs, self._session.run(self._fetches, feed), strict=True)
        return {config.name: bytes_of(a) if config.datatype is Datatype.BYTES else a for config, a in pairs}

    def _run_bound(self, binding: Any, inputs: Tensors) -> Tensors:  # noqa: ANN401 - onnxruntime ships without types
        """Execute through the one binding; outputs are bound anew, or ONNX Runtime would write into the last answer."""
        for name, source in self._feeds:
            array = inputs[name]
            if array.dtype == ml_dtypes.bfloat16:
                value = ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(np.uint16), _BFLOAT16)
                binding.bind_ortvalue_input(source, value)
            else:
                binding.bind_cpu_input(source, array)  # copied to the session's device
        for source in self._fetches:
            binding.bind_output(source, "cpu")  # ONNX Runtime copies from the device as part of the run
        self._session.run_with_iobinding(binding)
        return {name: _array(value) for name, value in zip(self._names, binding.get_outputs(), strict=True)}


def infer(file: Path) -> Signature:
    """The inputs and outputs of the ONNX graph; every axis without a fixed length is -1.

    Raises:
        ManifestError: The file is no ONNX model, has a tensor that V2 has no datatype for, or one without axes, or
            axis 0 is fixed to different lengths.
    """
    session = _open_session(file, "cpu", 1)
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
    session, sources = _open_session(file, "cpu", 1), {_source(config) for config in tensors}
    arguments = [*session.get_inputs(), *session.get_outputs()]
    return fixed_rows(_fixed_lengths(argument for argument in arguments if argument.name in sources), file)


def _fixed_lengths(arguments: Iterable[Any]) -> dict[str, int]:
    return {
        argument.name: argument.shape[0]
        for argument in arguments
        if argument.shape and isinstance(argument.shape[0], int)
    }


def _open_session(path: Path, device: str, threads: int, precision: str = "fp32") -> Any:  # noqa: ANN401 - no types
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A waiting thread sleeps: by default it spins for milliseconds after every execution, on other replicas' CPUs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors: what fails is raised too
    providers: list[object] = ["CPUExecutionProvider"]
    if device == "cuda":
        ort.preload_dlls()  # finds CUDA and cuDNN in the wheels of PyTorch or NVIDIA
        providers.insert(0, ("CUDAExecutionProvider", {"use_tf32": int(precision == "tf32")}))  # it would by itself
    try:
        session = ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # its exceptions have no base of their own
        raise ManifestError(str(path), f"ONNX Runtime cannot load it: {_first_line(error)}") from error
    if device == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
        raise AcceleratorMissing(path.name)  # ONNX Runtime falls back to the CPU with no more than a line on stderr
    return session


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


def _array(value: Any) -> Array:  # noqa: ANN401 - onnxruntime ships without types
    """A CPU value as an array; BF16 is copied out of its memory, as OrtValue.numpy() does not know it."""
    if value.data_type() != "tensor(bfloat16)":
        array: Array = value.numpy()
        return array
    shape = value.shape()
    memory = ctypes.string_at(value._ortvalue.data_ptr(), 2 * int(np.prod(shape)))
    copied: Array = np.frombuffer(memory, dtype=np.uint16).view(ml_dtypes.bfloat16).reshape(shape).copy()
    return copied


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
