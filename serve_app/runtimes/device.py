"""Choosing the device a model runs on."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Literal

from serve_app.config.manifest import CPU_ONLY_FORMATS, TORCH_FORMATS, Format
from serve_app.errors import AcceleratorMissing, ConfigError

Device = Literal["cpu", "cuda"]


def choose_device(accelerator: str, fmt: Format) -> Device:
    """The device for a model of format `fmt` under the release's `accelerator` setting.

    `auto` takes a GPU where this process sees one and the format's library can use it. A library that is not installed
    sees none; loading the model says what to install.

    Args:
        accelerator: `auto`, `cpu` or `gpu`.
        fmt: The model's format.

    Raises:
        AcceleratorMissing: `gpu` was asked for and there is none.
        ConfigError: `gpu` was asked for and the format's library never uses one.
    """
    if accelerator == "cpu":
        return "cpu"
    if fmt in CPU_ONLY_FORMATS:
        if accelerator == "gpu":
            raise ConfigError(f"scikit-learn models ({fmt}) run on CPUs only; use accelerator: auto or cpu")
        return "cpu"
    if _is_visible() and _library_sees_gpu(fmt):
        return "cuda"
    if accelerator == "gpu":
        raise AcceleratorMissing(f"a model of format {fmt}")
    return "cpu"


def _is_visible() -> bool:
    """Whether this process may use a GPU; Ray hides those of other replicas by CUDA_VISIBLE_DEVICES."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1", "NoDevFiles"):
        return False
    return Path("/dev/dxg").exists() or any(Path("/dev").glob("nvidia[0-9]*"))  # dxg: Windows' Linux subsystem


def _library_sees_gpu(fmt: Format) -> bool:
    try:
        if fmt in TORCH_FORMATS:
            return bool(importlib.import_module("torch").cuda.is_available())
        if fmt is Format.ONNX:
            return "CUDAExecutionProvider" in importlib.import_module("onnxruntime").get_available_providers()
    except ModuleNotFoundError:
        return False
    return True  # format python: the operator's class decides what to do with the device it is told
