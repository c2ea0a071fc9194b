"""Tiny PyTorch modules, saved in PyTorch's two formats."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from serve_app.config.manifest import Manifest
from serve_app.config.release import RuntimeConfig
from serve_app.runtimes.base import RuntimeSource
from support.versions import sha256


class Doubling(torch.nn.Module):
    """(x + x, the sum of each row as INT64)."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x + x, x.sum(1).to(torch.int64)


class Linear(torch.nn.Module):
    """y = x W with W all ones: the sum of each row, computed in autocast's precision."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(2, 1, bias=False)
        torch.nn.init.ones_(self.linear.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)


class Dictionary(torch.nn.Module):
    """A dict of outputs, and the second input by keyword."""

    def forward(self, x: torch.Tensor, *, scale: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"product": x * scale, "difference": x - scale}


class Identity(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 1


def forget_arithmetic() -> None:
    """Make PyTorch's arithmetic that of a process in which no model was loaded."""
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = True, False


def save_script(module: torch.nn.Module, file: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(module.eval()), str(file))
    return file


def save_export(module: torch.nn.Module, file: Path, *args: torch.Tensor, **kwargs: torch.Tensor) -> Path:
    names = [*("x",)[: len(args)], *kwargs]
    shapes = {name: {0: torch.export.Dim.DYNAMIC} for name in names}
    torch.export.save(torch.export.export(module.eval(), args, kwargs, dynamic_shapes=shapes), file)
    return file


def tensors(*texts: str) -> list[dict]:
    """Tensors from texts such as `x FP32 -1,2`."""
    parts = [text.split() for text in texts]
    return [{"name": n, "datatype": d, "shape": [int(axis) for axis in s.split(",")]} for n, d, s in parts]


def source_of(file: Path, fmt: str, inputs: list, outputs: list, *, trusted=(), **config):
    digest = sha256(file.read_bytes())
    document = {"format": fmt, "artifact": file.name, "sha256": digest, "inputs": inputs, "outputs": outputs}
    manifest = Manifest.model_validate(document)
    return RuntimeSource(manifest, file.parent, config=RuntimeConfig(**config), trusted_sha256=tuple(trusted))
