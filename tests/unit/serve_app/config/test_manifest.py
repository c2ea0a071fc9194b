"""The schema of model.yaml."""

import pytest
from pydantic import ValidationError

from serve_app.config.manifest import Manifest
from serve_app.datatypes import Datatype

SHA = "a" * 64
GOOD = {
    "format": "onnx",
    "artifact": "model.onnx",
    "sha256": SHA,
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
    "outputs": [
        {"name": "p", "datatype": "FP32", "shape": [-1, 2], "labels": ["no", "yes"]},
        {"name": "label", "datatype": "INT64", "shape": [-1]},
    ],
}
PYTHON = {"format": "python", "artifact": None, "sha256": None}


def manifest(**changes):
    return Manifest.model_validate({key: value for key, value in {**GOOD, **changes}.items() if value is not None})


def test_a_signature_becomes_tensor_specs():
    spec = manifest().outputs[0].spec
    assert (spec.name, spec.datatype, spec.shape, spec.labels) == ("p", Datatype.FP32, (-1, 2), ("no", "yes"))


def test_the_predicted_output_is_the_one_named_or_the_last():
    assert manifest().predicted_output == "label"
    assert manifest(prediction="p").predicted_output == "p"


def test_files_are_the_artifact_and_what_it_needs():
    assert manifest(extra_files={"model.data": "b" * 64}).files == {"model.onnx": SHA, "model.data": "b" * 64}
    assert manifest(**PYTHON).files == {}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"artifact": None, "sha256": None}, "format onnx needs an artifact"),
        ({"sha256": None}, "artifact needs its sha256"),
        ({**PYTHON, "sha256": SHA}, "sha256 and extra_files need an artifact"),
        ({"format": "exe"}, "format"),
        ({"artifact": "../model.onnx"}, "pattern"),
        ({"artifact": ".hidden"}, "pattern"),
        ({"inputs": []}, "at least 1 item"),
        ({"inputs": GOOD["inputs"] * 2}, "inputs have a name twice: x, x"),
        ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4]}]}, "axis 0 is the batch axis and must be -1"),
        ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 0]}]}, "axes are -1 .any length. or at least 1"),
        ({"inputs": [{"name": "x", "datatype": "FP99", "shape": [-1]}]}, "datatype"),
        ({"prediction": "q"}, "prediction 'q' is not among outputs: label, p"),
        ({"golden": [{"inputs": {"y": [1]}, "outputs": {"p": [1]}}]}, "golden 0 must give every input: x"),
        ({"golden": [{"inputs": {"x": [1]}, "outputs": {"q": [1]}}]}, "golden 0 expects unknown output 'q'"),
        ({"warmup": {"rows": [0]}}, "greater than 0"),
        ({"sha512": "x"}, "Extra inputs"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(changes, reason):
    with pytest.raises(ValidationError, match=reason):
        manifest(**changes)


@pytest.mark.parametrize("tolerance", ["atol", "rtol"])
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_tolerance_is_finite(tolerance, value):
    golden = {"inputs": {"x": [[1, 2, 3, 4]]}, "outputs": {"label": [1]}}
    manifest(golden=[golden])
    with pytest.raises(ValidationError, match=f"golden.0.{tolerance}"):
        manifest(golden=[golden | {tolerance: value}])


def test_a_batch_is_of_a_size_that_can_be_warmed_up():
    manifest(warmup={"rows": [2**20]}, batching={"max_rows": 2**20, "max_queue_rows": 2**21})
    with pytest.raises(ValidationError, match="less than or equal to 1048576"):
        manifest(warmup={"rows": [2**20 + 1]})
    with pytest.raises(ValidationError, match="less than or equal to 1048576"):
        manifest(batching={"max_rows": 2**20 + 1, "max_queue_rows": 2**21})


PROFILE = {"device": "cpu", "threads": 1, "ms_by_rows": {1: 0.05, 64: 0.5}}


def test_a_profile_says_where_it_was_measured():
    profile = manifest(profile=PROFILE).profile
    assert (profile.device, profile.threads, profile.ms_by_rows) == ("cpu", 1, {1: 0.05, 64: 0.5})
    assert manifest(profile=PROFILE | {"device": "cuda:1"}).profile.device == "cuda:1"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"device": "gpu"}, "device"),
        ({"threads": 0}, "threads"),
        ({"ms_by_rows": {}}, "ms_by_rows"),
        ({"ms_by_rows": {0: 1.0}}, "ms_by_rows"),
        ({"ms_by_rows": {2**20 + 1: 1.0}}, "ms_by_rows"),
        ({"ms_by_rows": {"1": 1.0}}, "ms_by_rows"),
        ({"ms_by_rows": {1.0: 1.0}}, "ms_by_rows"),
        ({"ms_by_rows": {True: 1.0}}, "ms_by_rows"),
        ({"ms_by_rows": {1: 0}}, "ms_by_rows"),
        ({"ms_by_rows": {1: float("inf")}}, "ms_by_rows"),
        ({"ms_by_rows": {1: True}}, "ms_by_rows"),
        ({"cpu": "fast"}, "cpu"),
    ],
)
def test_a_profile_that_was_never_measured_is_refused(changes, field):
    with pytest.raises(ValidationError, match=rf"profile\.{field}"):
        manifest(profile=PROFILE | changes)
