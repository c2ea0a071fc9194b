"""From a format to its runtime; each library is imported only when a model needs it."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import cast

from serve_app.config.manifest import Format
from serve_app.config.tensors import TensorConfig
from serve_app.config.useless_settings import useless_runtime_settings
from serve_app.errors import ConfigError
from serve_app.runtimes.base import Runtime, RuntimeSource
from serve_app.runtimes.signature import Signature

# Format: module of this package, what it is called with a source to load, the extra that brings its libraries.
_LOADERS: Mapping[Format, tuple[str, str, str]] = {
    Format.ONNX: ("onnx", "OnnxRuntime", "onnx"),
    Format.TORCHSCRIPT: ("torch_script", "load", "torch"),
    Format.TORCH_EXPORT: ("torch_export", "load", "torch"),
    Format.SKOPS: ("sklearn", "SklearnRuntime", "sklearn"),
    Format.JOBLIB: ("sklearn", "SklearnRuntime", "sklearn"),
    Format.PICKLE: ("sklearn", "SklearnRuntime", "sklearn"),
    Format.PYTHON: ("python", "PythonRuntime", ""),
}


def load_runtime(source: RuntimeSource) -> Runtime:
    """Load a model into memory, on its device.

    Raises:
        ConfigError: A setting has no effect on this format, the format's library is not installed, or (as
            `ManifestError`, `UntrustedArtifact` or `AcceleratorMissing`) the artifact cannot be loaded as the release
            wants it. What the constructor of an operator's own class raises passes through.
    """
    fmt = source.manifest.format
    _refuse_useless_settings(source)
    module, loader, _ = _LOADERS[fmt]
    return cast(Runtime, getattr(_module(fmt, module), loader)(source))


def infer_signature(file: Path, fmt: Format, trusted_sha256: Collection[str] = ()) -> Signature | None:
    """What the artifact itself says about its inputs and outputs, or None where the format does not say.

    Raises:
        ConfigError: The library is not installed, or (as `ManifestError` or `UntrustedArtifact`) the artifact cannot
            be read, or may not be.
    """
    module = _module(fmt, _LOADERS[fmt][0])
    if fmt is Format.ONNX:
        return cast(Signature, module.infer(file))
    if fmt is Format.TORCH_EXPORT:
        return cast(Signature, module.infer(file, trusted_sha256))
    if fmt in (Format.SKOPS, Format.JOBLIB, Format.PICKLE):
        return cast(Signature, module.infer(file, fmt, trusted_sha256))
    return None


def infer_fixed_rows(
    file: Path, fmt: Format, tensors: Collection[TensorConfig], trusted_sha256: Collection[str] = ()
) -> int | None:
    """Rows that every execution has, where the artifact says so and fixes them, of `tensors` that somebody named.

    Raises:
        ConfigError: As `infer_signature`.
    """
    if fmt is Format.ONNX:
        return cast("int | None", _module(fmt, "onnx").infer_fixed_rows(file, tensors))
    if fmt is Format.TORCH_EXPORT:
        return cast("int | None", _module(fmt, "torch_export").infer_fixed_rows(file, trusted_sha256))
    return None


def _module(fmt: Format, name: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - ModuleType has no attributes
    try:
        return importlib.import_module(f"serve_app.runtimes.{name}")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"format {fmt} needs {error.name}, which is not installed: pip install 'serve-app[{_LOADERS[fmt][2]}]'"
        ) from error


def _refuse_useless_settings(source: RuntimeSource) -> None:
    fmt = source.manifest.format
    for path, message in useless_runtime_settings(source.config, fmt):
        raise ConfigError(f"{path[-1]} {message}")
    if source.python_class is not None and fmt is not Format.PYTHON:
        raise ConfigError(f"python_class has no effect on format {fmt}, only on format python")
