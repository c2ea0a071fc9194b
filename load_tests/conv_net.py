"""The network of the workload `cnn`: a small residual net, 53 MFLOP an image, with weights from a fixed seed."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from serve_app.dataflow import add

INPUT_NAME, OUTPUT_NAME = "image", "logits"
CHANNELS, SIDE, CLASSES = 3, 64, 10
_SEED = 20240601
_WIDTHS = (16, 32, 64)  # each at half the side of the one before, and so of the same cost
_BLOCKS_PER_WIDTH = 2


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, after He et al., "Deep residual learning", CVPR 2016."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(channels_in, channels, 3, stride), nn.ReLU(), *_convolution(channels, channels, 3, 1)
        )
        same = channels_in == channels and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*_convolution(channels_in, channels, 1, stride))

    def forward(self, images: Tensor) -> Tensor:
        """[rows, channels_in, side, side] to [rows, channels, side / stride, side / stride]."""
        return torch.relu(self.body(images) + self.shortcut(images))


def conv_net() -> nn.Sequential:
    """FP32 images [rows, 3, 64, 64] to logits [rows, 10]; never trained, the same weights every time."""
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        layers: list[nn.Module] = [*_convolution(CHANNELS, _WIDTHS[0], 3, 2), nn.ReLU()]
        channels = _WIDTHS[0]
        for width in _WIDTHS:
            for _ in range(_BLOCKS_PER_WIDTH):
                layers.append(ResidualBlock(channels, width, 1 if width == channels else 2))
                channels = width
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES)).eval()


def export(file: Path, side: int = SIDE) -> None:
    """Write the network, for images of a side, to `file` as ONNX with a free batch axis."""
    axes = {INPUT_NAME: {0: "rows"}, OUTPUT_NAME: {0: "rows"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the exporter that replaces it needs onnxscript
        torch.onnx.export(
            conv_net(),
            (torch.zeros(2, CHANNELS, side, side),),
            str(file),
            dynamo=False,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_axes=axes,
        )


def add_version(repository: Path) -> None:
    """Export the network and add it to a repository as `cnn`, version v1, as `serve-app models add` would.

    Raises:
        ConfigError: The version exists, or does not pass the checks of a release.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cnn.onnx"
        export(file)
        add.add_version(
            repository, add.NewVersion(file, "cnn", "v1", description="Residual net on 3x64x64, not trained")
        )


def _convolution(channels_in: int, channels: int, size: int, stride: int) -> tuple[nn.Module, nn.Module]:
    convolution = nn.Conv2d(channels_in, channels, size, stride, padding=size // 2, bias=False)
    return convolution, nn.BatchNorm2d(channels)
