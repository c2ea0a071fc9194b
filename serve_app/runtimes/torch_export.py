"""Models saved by `torch.export.save`: a graph of PyTorch operators with its weights."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch
from torch.export import ExportedProgram
from torch.export.passes import move_to_device_pass

from serve_app.config.tensors import TensorConfig
from serve_app.errors import ManifestError
from serve_app.runtimes.base import RuntimeSource
from serve_app.runtimes.fixed_rows import fixed_rows
from serve_app.runtimes.signature import Signature, tensor
from serve_app.runtimes.torch_base import DATATYPES, TorchRuntime, device_of, prepare
from serve_app.runtimes.torch_trust import check_export


def load(source: RuntimeSource) -> TorchRuntime:
    """Load an exported program on to its device.

    Raises:
        UntrustedArtifact: Loading it could run code, and the operator does not trust its digest.
        ManifestError: The file is no exported program, takes another number of inputs than the manifest says, or axis
            0 is fixed to different lengths.
        AcceleratorMissing: CUDA was chosen and PyTorch sees none.
        ConfigError: A tensor of the signature is BYTES.
    """
    prepare(source)
    device = device_of(source)
    program = _load_program(source.artifact, source.trusted_sha256)
    if device != "cpu":
        program = move_to_device_pass(program, device)
    rows = fixed_rows(_fixed_lengths(program), source.artifact)
    positional, keywords = _call_of(program)
    wanted, given = positional + len(keywords), len(source.manifest.inputs)
    if wanted != given:
        raise ManifestError(str(source.artifact), f"the program takes {wanted} inputs, the manifest names {given}")
    return TorchRuntime(program.module(), source, keywords, rows)


def infer(file: Path, trusted: Collection[str] = ()) -> Signature:
    """The inputs and outputs as the graph records them; an axis is free (-1) where it was exported as dynamic.

    Outputs of a model that returns no dict are named `output0`, `output1`, ...

    Raises:
        UntrustedArtifact: Loading it could run code, and its digest is not in `trusted`.
        ManifestError: The file is no exported program, has a tensor that V2 has no datatype for, or one without axes,
            or axis 0 is fixed to different lengths.
    """
    program = _load_program(file, trusted)
    signature = program.graph_signature
    spec = program.call_spec.out_spec
    keys = list(spec.context) if spec is not None and spec.type is dict else []
    names = keys or [f"output{index}" for index in range(len(signature.user_outputs))]
    values = _values_of(program)
    inputs = tuple(_tensor_of(name, values[name], file) for name in map(str, signature.user_inputs))
    pairs = zip(names, map(str, signature.user_outputs), strict=True)
    outputs = tuple(_tensor_of(name, values[node], file) for name, node in pairs)
    return Signature(inputs, outputs, fixed_rows(_fixed_lengths(program), file))


def infer_fixed_rows(file: Path, trusted: Collection[str] = ()) -> int | None:
    """Rows that every execution of the program has; None where its batch axes are free.

    Raises:
        UntrustedArtifact: As `infer`.
        ManifestError: The file is no exported program, or axis 0 is fixed to different lengths.
    """
    return fixed_rows(_fixed_lengths(_load_program(file, trusted)), file)


def _values_of(program: ExportedProgram) -> dict[str, object]:
    """What the graph recorded of its inputs and outputs: fake tensors, by the names of their nodes."""
    signature = program.graph_signature
    known = {node.name: node.meta.get("val") for node in program.graph.nodes}
    return {name: known.get(name) for name in map(str, (*signature.user_inputs, *signature.user_outputs))}


def _fixed_lengths(program: ExportedProgram) -> dict[str, int]:
    """Length of axis 0 of every tensor for which the program fixes it."""
    values = _values_of(program).items()
    shapes = {name: value.shape for name, value in values if isinstance(value, torch.Tensor) and value.ndim}
    return {name: length for name, shape in shapes.items() if (length := _length(shape[0])) != -1}


def _tensor_of(name: str, value: object, file: Path) -> TensorConfig:
    if not isinstance(value, torch.Tensor) or value.dtype not in DATATYPES:
        raise ManifestError(str(file), f"{name!r} is no tensor of a dtype that V2 has a datatype for")
    shape = tuple(_length(axis) for axis in value.shape)
    if not shape:
        raise ManifestError(str(file), f"tensor {name!r} has no axes, and axis 0 is the batch axis")
    return tensor(name, DATATYPES[value.dtype], shape)


def _length(axis: object) -> int:
    """An axis' length, -1 where it is symbolic (`torch.SymInt`, which the stubs hide)."""
    return axis if isinstance(axis, int) else -1


def _load_program(file: Path, trusted: Collection[str]) -> ExportedProgram:
    check_export(file, trusted)
    try:
        return torch.export.load(file)
    except Exception as error:  # a damaged archive ends in whatever its parsers raise
        reason = f"{type(error).__name__}: {error}".partition("\n")[0][:200]
        raise ManifestError(str(file), f"PyTorch cannot load it as an exported program: {reason}") from error


def _call_of(program: ExportedProgram) -> tuple[int, tuple[str, ...]]:
    """How many inputs go by position, and the names of those that go by keyword."""
    spec = program.call_spec.in_spec
    if spec is None:
        return len(program.graph_signature.user_inputs), ()
    args, kwargs = spec.children()
    return args.num_leaves, tuple(kwargs.context or ())
