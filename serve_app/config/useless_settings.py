"""Settings of a release that have no effect on its model's format: a runtime would refuse them at load."""

from __future__ import annotations

from collections.abc import Iterator

from serve_app.config.manifest import Format
from serve_app.config.release import ReleaseArgs
from serve_app.config.unknown_keys import Finding

_TORCH = (Format.TORCHSCRIPT, Format.TORCH_EXPORT)
_CPU_ONLY = (Format.SKOPS, Format.JOBLIB, Format.PICKLE)


def useless_settings(args: ReleaseArgs, fmt: Format) -> Iterator[Finding]:
    """Yield the settings, at their path in the args, that no machine could give effect to with format `fmt`."""
    precision = args.runtime.precision
    if args.accelerator == "gpu" and fmt in _CPU_ONLY:
        yield ("accelerator",), f"scikit-learn models ({fmt}) run on CPUs only; use accelerator: auto or cpu"
    if precision != "fp32" and fmt not in _TORCH:
        yield ("runtime", "precision"), f"{precision} has no effect on format {fmt}, only on PyTorch models"
    if args.runtime.threads != 1 and fmt is Format.PYTHON:
        yield ("runtime", "threads"), "has no effect on format python: the class itself starts its threads"
