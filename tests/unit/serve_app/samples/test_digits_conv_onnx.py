"""The net of digits v2 as ONNX answers as PyTorch does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from support.versions import doubling, sha256, write_version

from serve_app.config.release import RuntimeConfig
from serve_app.errors import ManifestError
from serve_app.repository.store import open_version
from serve_app.runtimes.base import RuntimeSource
from serve_app.runtimes.registry import load_runtime
from serve_app.samples.data import held_out
from serve_app.samples.digits_conv_onnx import convert

MODELS = Path(__file__).parents[4] / "models"
PIXELS = held_out("digits")[0]


def by_runtime(source: str) -> dict[str, np.ndarray]:
    version = open_version(str(MODELS / source))
    runtime = load_runtime(RuntimeSource(version.manifest, version.directory, RuntimeConfig()))
    return runtime.predict({"pixels": PIXELS})


@pytest.fixture(scope="module")
def by_torch() -> dict[str, np.ndarray]:
    return by_runtime("digits/v2")


def test_every_held_out_digit_is_answered_as_by_pytorch(tmp_path, by_torch):
    convert(open_version(str(MODELS / "digits/v2")), tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    probabilities, label = session.run(["probabilities", "label"], {"pixels": PIXELS})
    np.testing.assert_array_equal(label, by_torch["label"])
    np.testing.assert_allclose(probabilities, by_torch["probabilities"], rtol=0, atol=1e-5)


def test_the_version_in_the_repository_answers_so_too(by_torch):
    answer = by_runtime("digits-conv/v1")
    np.testing.assert_array_equal(answer["label"], by_torch["label"])
    np.testing.assert_allclose(answer["probabilities"], by_torch["probabilities"], rtol=0, atol=1e-5)
    theirs, ours = (open_version(str(MODELS / source)).manifest for source in ("digits/v2", "digits-conv/v1"))
    assert (ours.inputs, ours.outputs, ours.metrics) == (theirs.inputs, theirs.outputs, theirs.metrics)


def test_an_operators_own_net_is_not_converted(tmp_path):
    own = write_version(tmp_path / "onnx", doubling(), {})
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(2, 2),))
    torch.export.save(program, tmp_path / "m.pt2")
    data = (tmp_path / "m.pt2").read_bytes()
    changed = {"format": "torch_export", "sha256": sha256(data)}
    other = write_version(tmp_path / "torch", data, changed, "m.pt2")
    for source in (own, other):
        with pytest.raises(ManifestError, match="is not the samples' conv net, of which digits-conv-v1 is made"):
            convert(open_version(str(source)), tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()
