"""Sessions of ONNX Runtime: how they are opened, and which one executes inputs of a shape."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any, NamedTuple

import onnxruntime as ort

from serve_app.config.release import RuntimeConfig
from serve_app.errors import AcceleratorMissing, ManifestError
from serve_app.runtimes.denormals import IS_KNOWN, arithmetic

Shapes = tuple[tuple[int, ...], ...]
"""Of all inputs of one execution."""

SPIN_IN_RUNS_ONLY = {"session.force_spinning_stop": "1"}
"""Threads of a session that wait for each other spin within an execution, where to sleep and be woken takes longer than
most operators, and sleep once it is over. By default they spin on for milliseconds, on other replicas' CPUs."""

_DENORMALS_AS_ZERO = {"session.set_denormal_as_zero": "1"}
"""In a session's own threads, and that thread for good which opens a process's first session; see `denormals`."""

DEFAULTS = RuntimeConfig()
_CONVOLUTIONS = ("Conv", "ConvTranspose", "FusedConv", "NhwcConv")


def open_session(path: Path, device: str, threads: int, config: RuntimeConfig = DEFAULTS) -> Any:  # noqa: ANN401 - no types
    """A session over a file.

    Args:
        path: The model.
        device: `cpu` or `cuda`.
        threads: CPU threads of one execution.
        config: How it computes.

    Raises:
        ManifestError: The file is no ONNX model.
        AcceleratorMissing: CUDA was asked for and the session does not have it.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    entries = SPIN_IN_RUNS_ONLY | (_DENORMALS_AS_ZERO if config.denormals_as_zero and IS_KNOWN else {})
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    options.log_severity_level = 3  # errors: what fails is raised too
    providers: list[object] = ["CPUExecutionProvider"]
    if device == "cuda":
        ort.preload_dlls()  # finds CUDA and cuDNN in the wheels of PyTorch or NVIDIA
        providers.insert(0, ("CUDAExecutionProvider", cuda_options(config.precision)))
    try:
        with arithmetic(denormals_as_zero=config.denormals_as_zero)():  # afterwards this thread is as it was
            session = ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # its exceptions have no base of their own
        raise ManifestError(str(path), f"ONNX Runtime cannot load it: {_first_line(error)}") from error
    if device == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
        raise AcceleratorMissing(path.name)  # ONNX Runtime falls back to the CPU with no more than a line on stderr
    return session


def cuda_options(precision: str) -> dict[str, object]:
    """Of the CUDA provider: float32 is rounded to TF32 only where that is asked for; by itself it would be.

    A plan for the 15 convolutions of the bench's net takes 25 ms on an H100; 100 to 180 with EXHAUSTIVE, the default,
    which is no faster afterwards but for a tenth at 128 images of 3x64x64, and DEFAULT is slower by half and more.
    """
    return {"use_tf32": int(precision == "tf32"), "cudnn_conv_algo_search": "HEURISTIC"}


def has_convolutions(path: Path) -> bool:
    """Whether a graph has nodes that are planned anew for every shape: looks for their type as protobuf writes it."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(content.find(bytes([0x22, len(name)]) + name.encode()) >= 0 for name in _CONVOLUTIONS)


class Bound(NamedTuple):
    """A session with the binding of its inputs and outputs."""

    session: Any
    binding: Any


class BoundSessions:
    """Sessions of one model, each for inputs of one shape while there are enough of them.

    Since 1.20 ONNX Runtime keeps one plan a convolution, and makes it anew whenever the input has another shape than
    in the execution before (https://github.com/microsoft/onnxruntime/issues/23006). Where shapes are more than
    sessions, the one that was not used for longest changes its shape.
    """

    def __init__(self, session: Any) -> None:  # noqa: ANN401 - onnxruntime ships without types
        self._unused = [Bound(session, session.io_binding())]
        self._by_shapes: dict[Shapes, Bound] = {}  # the last one was used last

    def __len__(self) -> int:
        return len(self._unused) + len(self._by_shapes)

    def add(self, session: Any) -> None:  # noqa: ANN401 - onnxruntime ships without types
        """Have one more."""
        self._unused.append(Bound(session, session.io_binding()))

    def of(self, shapes: Shapes) -> Bound:
        """The session for inputs of these shapes."""
        bound = self._by_shapes.pop(shapes, None)
        if bound is None:
            bound = self._unused.pop() if self._unused else self._by_shapes.pop(next(iter(self._by_shapes)))
        self._by_shapes[shapes] = bound
        return bound


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
