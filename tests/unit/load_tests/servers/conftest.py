"""Workloads without model files, for what only passes their names and rows on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from load_tests.models import Workload


@pytest.fixture
def workloads(tmp_path: Path) -> tuple[Workload, Workload]:
    pixels, images = np.zeros((2, 64), np.float32), np.zeros((1, 3, 64, 64), np.float32)
    digits, cnn = tmp_path / "digits/v1", tmp_path / "cnn/v1"
    return (
        Workload("digits", digits, digits / "digits.onnx", "pixels", pixels, np.array([4, 7])),
        Workload("cnn", cnn, cnn / "model.onnx", "image", images, np.zeros((1, 10), np.float32)),
    )
