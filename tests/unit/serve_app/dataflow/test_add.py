import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest
import skops.io
import torch
from onnx import TensorProto
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from support.torch_models import Doubling, save_export, save_script
from support.versions import doubling, identity, sha256

from serve_app.config.release import ReleaseArgs
from serve_app.config.tensors import GoldenConfig, TensorConfig
from serve_app.dataflow.add import NewVersion, add_version
from serve_app.dataflow.model import load_model
from serve_app.errors import CheckFailed, ConfigError, ManifestError, UntrustedArtifact

X, Y = load_iris(return_X_y=True)
TENSORS = {
    "inputs": (TensorConfig(name="x", datatype="FP32", shape=(-1, 2)),),
    "outputs": (
        TensorConfig(name="twice", datatype="FP32", shape=(-1, 2)),
        TensorConfig(name="total", datatype="INT64", shape=(-1,)),
    ),
}


def artifact(directory, suffix):
    """A small model of the suffix's format, and what has to be said about it."""
    file = directory / f"m{suffix}"
    estimator = LogisticRegression(max_iter=1000).fit(X, Y)
    if suffix == ".onnx":
        file.write_bytes(doubling())
    elif suffix in (".pt", ".ts"):
        save_script(Doubling(), file)
        return file, TENSORS | {"trusted_sha256": (sha256(file.read_bytes()),)}
    elif suffix == ".pt2":
        return save_export(Doubling(), file, torch.ones(2, 2)), {}
    elif suffix == ".skops":
        skops.io.dump(estimator, file)
    else:
        file.write_bytes(pickle.dumps(estimator))  # joblib reads plain pickles too
        return file, {"trusted_sha256": (sha256(file.read_bytes()),)}
    return file, {}


@pytest.mark.parametrize("suffix", [".onnx", ".pt", ".ts", ".pt2", ".skops", ".joblib", ".pkl"])
def test_every_format_is_added_and_served_as_added(tmp_path, suffix):
    file, known = artifact(tmp_path, suffix)
    version = add_version(tmp_path / "models", NewVersion(file, "m", "v1", **known))
    assert version.directory == tmp_path / "models" / "m" / "v1"
    assert sorted(path.name for path in version.directory.iterdir()) == [f"model{suffix}", "model.yaml"]
    model = load_model(
        ReleaseArgs(
            model="m",
            version="v1",
            source=str(version.directory),
            accelerator="cpu",
            trusted_sha256=known.get("trusted_sha256", ()),
        )
    )
    spec = model.info.inputs[0]
    answer = model.predict({spec.name: np.ones((3, spec.shape[1]), spec.datatype.dtype)})
    assert {len(array) for array in answer.values()} == {3}


def test_what_is_said_about_a_version_is_in_its_manifest(tmp_path):
    (tmp_path / "m.onnx").write_bytes(doubling())
    (tmp_path / "data.bin").write_bytes(b"data")
    golden = GoldenConfig(inputs={"x": [[1, 2]]}, outputs={"y": [[2, 4]]})
    new = NewVersion(
        tmp_path / "m.onnx",
        "m",
        "v1",
        labels={"y": ("no", "yes")},
        extra_files=(tmp_path / "data.bin",),
        golden=(golden,),
        metrics={"accuracy": 0.5},
        prediction="y",
        description="doubles",
    )
    manifest = add_version(tmp_path / "models", new).manifest
    assert (manifest.description, manifest.metrics, manifest.prediction) == ("doubles", {"accuracy": 0.5}, "y")
    assert manifest.outputs[0].labels == ("no", "yes")
    assert dict(manifest.extra_files) == {"data.bin": sha256(b"data")}
    assert len(manifest.golden) == 1


def refused(tmp_path, new, error, reason):
    with pytest.raises(error, match=reason):
        add_version(tmp_path / "models", new)
    assert not (tmp_path / "models").exists()


def test_a_version_that_fails_its_golden_check_is_not_added(tmp_path):
    (tmp_path / "m.onnx").write_bytes(doubling())
    golden = GoldenConfig(inputs={"x": [[1, 2]]}, outputs={"y": [[2, 5]]})
    refused(tmp_path, NewVersion(tmp_path / "m.onnx", "m", "v1", golden=(golden,)), CheckFailed, "golden 0")


def test_an_untrusted_pickle_is_not_added_and_the_caller_s_file_is_named(tmp_path):
    file, _ = artifact(tmp_path, ".pkl")
    refused(tmp_path, NewVersion(file, "m", "v1"), UntrustedArtifact, f"^{file}: unpickling")


def test_a_script_is_not_added_without_its_digest(tmp_path):
    file, _ = artifact(tmp_path, ".pt")
    refused(tmp_path, NewVersion(file, "m", "v1", **TENSORS), UntrustedArtifact, f"^{file}: a torchscript file")


def test_what_is_wrong_is_told_and_nothing_is_added(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"bad")
    refused(
        tmp_path, NewVersion(tmp_path / "bad.onnx", "m", "v1"), ManifestError, f"^{tmp_path}/bad.onnx: ONNX Runtime"
    )
    (tmp_path / "m.onnx").write_bytes(doubling())
    new = NewVersion(tmp_path / "m.onnx", "m", "v1", labels={"z": ("a",)})
    refused(tmp_path, new, ConfigError, "unknown output 'z'; there are y")
    new = NewVersion(tmp_path / "m.onnx", "m", "v1", prediction="z")
    refused(tmp_path, new, ConfigError, "m v1 cannot be added: .*prediction 'z' is not among outputs")
    file, _ = artifact(tmp_path, ".pt")
    refused(tmp_path, NewVersion(file, "m", "v1"), ConfigError, "torchscript does not say what it takes")


def test_a_version_that_exists_is_never_replaced(tmp_path):
    (tmp_path / "m.onnx").write_bytes(doubling())
    add_version(tmp_path / "models", NewVersion(tmp_path / "m.onnx", "m", "v1"))
    with pytest.raises(ConfigError, match="a version never changes"):
        add_version(tmp_path / "models", NewVersion(tmp_path / "m.onnx", "m", "v1"))


def test_a_wrong_digest_and_an_extra_manifest_are_told(tmp_path):
    (tmp_path / "m.onnx").write_bytes(doubling())
    new = NewVersion(tmp_path / "m.onnx", "m", "v1", trusted_sha256=("ABC",))
    refused(tmp_path, new, ConfigError, r"trusted_sha256\.0 'ABC': ")
    new = NewVersion(tmp_path / "m.onnx", "m", "v1", extra_files=(tmp_path / "model.yaml",))
    refused(tmp_path, new, ConfigError, r"an extra file cannot be named model\.yaml")


def test_messages_name_the_final_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.onnx").write_bytes(doubling())
    inputs = (TensorConfig(name="z", datatype="FP32", shape=(-1, 2)),)
    with pytest.raises(ConfigError) as raised:
        add_version(Path("models"), NewVersion(tmp_path / "m.onnx", "m", "v1", inputs=inputs))
    assert ".tmp" not in str(raised.value)
    assert str(raised.value).startswith(f"{tmp_path}/m.onnx")


def test_what_executions_took_is_in_the_manifest(tmp_path):
    (tmp_path / "m.onnx").write_bytes(doubling())
    ticks = itertools.count()  # every reading of the clock is a millisecond after the last
    new = NewVersion(tmp_path / "m.onnx", "m", "v1")
    profile = add_version(tmp_path / "models", new, lambda: next(ticks) * 0.001).manifest.profile
    assert (profile.device, profile.threads) == ("cpu", 1)
    assert profile.ms_by_rows == dict.fromkeys((1, 2, 4, 8, 16, 32, 64), 1.0)


@pytest.mark.parametrize(
    ("rows", "max_rows", "allowed_rows"), [("n", 64, ()), (1, 1, ()), (4, 4, (4,))], ids=["free", "one", "four"]
)
@pytest.mark.parametrize("is_named", [False, True], ids=["inferred", "named"])
def test_a_fixed_batch_axis_gets_its_batching(tmp_path, rows, max_rows, allowed_rows, is_named):
    (tmp_path / "m.onnx").write_bytes(identity(TensorProto.FLOAT, [rows, 2]))
    x, y = (TensorConfig(name=name, datatype="FP32", shape=(-1, 2)) for name in "xy")
    golden = GoldenConfig(inputs={"x": [[1, 2], [3, 4]]}, outputs={"y": [[1, 2], [3, 4]]})
    tensors = {"inputs": (x,), "outputs": (y,)} if is_named else {}
    new = NewVersion(tmp_path / "m.onnx", "m", "v1", golden=(golden,), **tensors)
    batching = add_version(tmp_path / "models", new).manifest.batching
    assert (batching.max_rows, batching.allowed_rows) == (max_rows, allowed_rows)


@pytest.mark.parametrize("is_named", [False, True], ids=["inferred", "named"])
def test_a_program_exported_for_so_many_rows_gets_its_batching(tmp_path, is_named):
    torch.export.save(torch.export.export(Doubling(), (torch.ones(2, 2),)), tmp_path / "m.pt2")
    new = NewVersion(tmp_path / "m.pt2", "m", "v1", **(TENSORS if is_named else {}))
    assert add_version(tmp_path / "models", new).manifest.batching.allowed_rows == (2,)
