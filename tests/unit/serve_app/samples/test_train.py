from dataclasses import replace

import numpy as np
import pytest

from serve_app.config.release import ReleaseArgs
from serve_app.dataflow.model import load_model
from serve_app.errors import CheckFailed, ConfigError
from serve_app.repository.store import open_version
from serve_app.samples.data import held_out
from serve_app.samples.train import SAMPLES, is_whole, train

DIGITS, _, CONV, SUPPORT_VECTORS, WINE = SAMPLES


def test_the_stored_accuracy_is_that_of_the_served_model(tmp_path):
    train(tmp_path, WINE)
    assert is_whole(tmp_path, WINE)
    version = open_version(str(tmp_path / "wine" / "v1"))
    inputs, labels = held_out("wine")
    model = load_model(ReleaseArgs(model="wine", version="v1", source=str(version.directory), accelerator="cpu"))
    accuracy = np.mean(model.predict({"features": inputs})["label"] == labels)
    assert version.manifest.metrics == {"accuracy": accuracy, "held_out_rows": 45}


def test_a_sample_has_labels_and_golden_rows(tmp_path):
    train(tmp_path, DIGITS)
    manifest = open_version(str(tmp_path / "digits" / "v1")).manifest
    assert manifest.prediction == "label"
    assert [output.labels for output in manifest.outputs] == [tuple("0123456789")] * 2
    assert len(manifest.golden[0].outputs["label"]) == 3


def test_a_sample_in_another_format_needs_the_first(tmp_path):
    with pytest.raises(ConfigError, match="digits/v2: is not a directory"):
        train(tmp_path, CONV)
    assert not list(tmp_path.glob("digits-conv/*"))


def test_a_sample_without_probabilities_has_golden_labels(tmp_path):
    train(tmp_path, SUPPORT_VECTORS)
    manifest = open_version(str(tmp_path / "digits-svm" / "v1")).manifest
    assert [(output.name, output.source, output.labels) for output in manifest.outputs] == [
        ("label", "predict", tuple("0123456789"))
    ]
    assert list(manifest.golden[0].outputs) == ["label"]
    assert manifest.metrics["accuracy"] >= 0.97


def test_a_version_that_cannot_be_used_is_told_and_never_deleted(tmp_path):
    own = tmp_path / "wine" / "v1"
    assert not is_whole(tmp_path, WINE)
    own.mkdir(parents=True)
    (own / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError) as raised:
        is_whole(tmp_path, WINE)
    reason = f"{own} exists but cannot be used: {own}: has no model.yaml; remove it to have the sample trained again"
    assert str(raised.value) == reason
    with pytest.raises(ConfigError, match="a version never changes"):
        train(tmp_path, WINE)
    assert (own / "notes.txt").read_text() == "mine"


def test_a_model_that_is_too_bad_is_not_added(tmp_path):
    with pytest.raises(CheckFailed, match=r"wine-v1: held-out accuracy is .*, at least 1.1"):
        train(tmp_path, replace(WINE, min_accuracy=1.1))
    assert not list(tmp_path.glob("wine/*"))
