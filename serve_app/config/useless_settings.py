"""Settings of a release that have no effect on its model's format: refused by `validate` and again at load."""

from __future__ import annotations

from collections.abc import Iterator

from serve_app.config.manifest import CPU_ONLY_FORMATS, TORCH_FORMATS, Format
from serve_app.config.release import ReleaseArgs, RuntimeConfig
from serve_app.config.unknown_keys import Finding


def useless_settings(args: ReleaseArgs, fmt: Format) -> Iterator[Finding]:
    """Yield the settings, at their path in the args, that no machine could give effect to with format `fmt`."""
    if args.accelerator == "gpu" and fmt in CPU_ONLY_FORMATS:
        yield ("accelerator",), f"scikit-learn models ({fmt}) run on CPUs only; use accelerator: auto or cpu"
    useless = tuple(useless_runtime_settings(args.runtime, fmt))
    yield from useless
    if args.runtime.precision == "tf32" and args.accelerator == "cpu" and not useless:
        yield ("runtime", "precision"), "tf32 has no effect with accelerator: cpu, only on a GPU"


def useless_runtime_settings(runtime: RuntimeConfig, fmt: Format) -> Iterator[Finding]:
    """As `useless_settings`, of the section `runtime` alone: what a runtime itself knows of its release."""
    if runtime.precision == "tf32" and fmt not in (*TORCH_FORMATS, Format.ONNX):
        yield ("runtime", "precision"), f"tf32 has no effect on format {fmt}, only on PyTorch and ONNX models"
    if runtime.precision in ("fp16", "bf16") and fmt not in TORCH_FORMATS:
        yield ("runtime", "precision"), f"{runtime.precision} has no effect on format {fmt}, only on PyTorch models"
    if runtime.threads is not None and fmt is Format.PYTHON:
        yield ("runtime", "threads"), "has no effect on format python: the class itself starts its threads"
