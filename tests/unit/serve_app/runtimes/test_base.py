from pathlib import Path

import pytest

from serve_app.config.manifest import Manifest
from serve_app.config.release import RuntimeConfig
from serve_app.runtimes.base import RuntimeSource

TENSOR = {"name": "x", "datatype": "FP32", "shape": [-1]}


def test_the_artifact_is_beside_the_manifest():
    document = {"format": "onnx", "artifact": "a.onnx", "sha256": "0" * 64, "inputs": [TENSOR], "outputs": [TENSOR]}
    assert RuntimeSource(Manifest.model_validate(document), Path("/m/v1")).artifact == Path("/m/v1/a.onnx")


def test_a_python_model_need_not_have_one():
    manifest = Manifest.model_validate({"format": "python", "inputs": [TENSOR], "outputs": [TENSOR]})
    with pytest.raises(ValueError, match="names no artifact"):
        _ = RuntimeSource(manifest, Path("/m/v1")).artifact


@pytest.mark.parametrize(
    ("cpus", "config", "threads"),
    [
        (1, {}, 1),
        (0.25, {}, 1),
        (2, {}, 2),
        (3.9, {}, 3),
        (4, {"instances": 2}, 2),
        (3, {"instances": 2}, 1),
        (2, {"instances": 8}, 1),
        (1, {"threads": 3}, 3),
        (8, {"threads": 1, "instances": 2}, 1),
    ],
)
def test_instances_share_the_replica_s_cpus_unless_the_release_says_otherwise(cpus, config, threads):
    manifest = Manifest.model_validate({"format": "python", "inputs": [TENSOR], "outputs": [TENSOR]})
    assert RuntimeSource(manifest, Path("/m"), config=RuntimeConfig(**config), cpus=cpus).threads == threads
