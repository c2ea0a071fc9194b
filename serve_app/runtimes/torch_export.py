"""Models saved by `torch.export.save`: a graph of PyTorch operators with its weights."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch
from torch.export import ExportedProgram
from torch.export.passes import move_to_device_pass

from serve_app.config.manifest import TensorConfig
from serve_app.errors import ConfigError, ManifestError
from serve_app.runtimes.base import RuntimeSource
from serve_app.runtimes.signature import Signature, tensor
from serve_app.runtimes.torch_base import DATATYPES, TorchRuntime, device_of, prepare
from serve_app.runtimes.torch_trust import check_export


def load(source: RuntimeSource) -> TorchRuntime:
    """Load an exported program on to its device.

    Raises:
        UntrustedArtifact: Loading it could run code, and the operator does not trust its digest.
        ManifestError: The file is no exported program or takes another number of inputs than the manifest says.
        AcceleratorMissing: CUDA was chosen and PyTorch sees none.
        ConfigError: A tensor of the signature is BYTES.
    """
    prepare(source)
    device = device_of(source)
    program = _load_program(source.artifact, source.trusted_sha256)
    if device != "cpu":
        program = move_to_device_pass(program, device)
    positional, keywords = _call_of(program)
    wanted, given = positional + len(keywords), len(source.manifest.inputs)
    if wanted != given:
        raise ManifestError(str(source.artifact), f"the program takes {wanted} inputs, the manifest names {given}")
    return TorchRuntime(program.module(), source, keywords)


def infer(file: Path, trusted: Collection[str] = ()) -> Signature:
    """The inputs and outputs as the graph records them; an axis is free (-1) where it was exported as dynamic.

    Outputs of a model that returns no dict are named `output0`, `output1`, ...

    Raises:
        UntrustedArtifact: Loading it could run code, and its digest is not in `trusted`.
        ManifestError: The file is no exported program.
        ConfigError: A tensor's axis 0 has a fixed length, so rows cannot be batched.
    """
    program = _load_program(file, trusted)
    signature = program.graph_signature
    spec = program.call_spec.out_spec
    keys = list(spec.context) if spec is not None and spec.type is dict else []
    names = keys or [f"output{index}" for index in range(len(signature.user_outputs))]
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    inputs = tuple(_tensor_of(name, values.get(name), file) for name in map(str, signature.user_inputs))
    pairs = zip(names, map(str, signature.user_outputs), strict=True)
    return Signature(inputs, tuple(_tensor_of(name, values.get(node), file) for name, node in pairs))


def _tensor_of(name: str, value: object, file: Path) -> TensorConfig:
    if not isinstance(value, torch.Tensor) or value.dtype not in DATATYPES:
        raise ManifestError(str(file), f"{name!r} is no tensor of a dtype that V2 has a datatype for")
    shape = tuple(_length(axis) for axis in value.shape)
    if not shape or shape[0] != -1:
        raise ConfigError(
            f"{file}: axis 0 of {name!r} {list(value.shape)} is no free batch axis; "
            "export with dynamic_shapes, axis 0 of every tensor being torch.export.Dim.DYNAMIC"
        )
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
