import itertools
import sys
import textwrap

import numpy as np
import pytest
import yaml
from onnx import TensorProto, helper
from support.versions import doubling, identity, onnx_model, write_version

from serve_app.config.release import ReleaseArgs, RuntimeConfig
from serve_app.dataflow.model import load_model, release_args
from serve_app.errors import (
    ArtifactMismatch,
    CheckFailed,
    ConfigError,
)

GOLDEN = {"inputs": {"x": [[1.0, 2.0]]}, "outputs": {"y": [[2.0, 4.0]]}}


def args(source, **changes) -> ReleaseArgs:
    return ReleaseArgs.model_validate(
        {"model": "m", "version": "v1", "source": str(source), "accelerator": "cpu"} | changes
    )


def test_a_loaded_model_says_all_about_itself_and_answers(tmp_path):
    document = {"golden": [GOLDEN], "metrics": {"accuracy": 0.5}, "batching": {"max_rows": 8, "max_queue_rows": 99}}
    model = load_model(args(write_version(tmp_path, doubling(), document), slo_ms=50))
    info = model.info
    assert (info.release, info.platform, info.device, info.prediction) == ("m-v1", "onnx", "cpu", "y")
    assert (info.max_rows, info.max_queue_rows, info.slo_ms, info.metrics) == (8, 99, 50, {"accuracy": 0.5})
    assert model.predict({"x": np.ones((2, 2), np.float32)})["y"].tolist() == [[2.0, 2.0], [2.0, 2.0]]


def test_whether_a_request_may_be_repeated_is_the_manifests(tmp_path):
    assert load_model(args(write_version(tmp_path / "a", doubling(), {}))).info.idempotent
    assert not load_model(args(write_version(tmp_path / "b", doubling(), {"idempotent": False}))).info.idempotent


def test_the_release_s_batching_wins_field_by_field(tmp_path):
    directory = write_version(tmp_path, doubling(), {"batching": {"max_rows": 8, "max_queue_rows": 99}})
    info = load_model(args(directory, batching={"max_rows": 4})).info
    assert (info.max_rows, info.max_queue_rows) == (4, 99)
    with pytest.raises(ConfigError, match=r"m-v1: batching: .*max_queue_rows 99 < max_rows 100"):
        load_model(args(directory, batching={"max_rows": 100}))


def test_a_wrong_golden_answer_keeps_a_version_from_serving(tmp_path):
    wrong = GOLDEN | {"outputs": {"y": [[2.0, 5.0]]}}
    with pytest.raises(CheckFailed, match="m-v1: golden 1: output 'y' differs by up to 1"):
        load_model(args(write_version(tmp_path, doubling(), {"golden": [GOLDEN, wrong]})))


def test_a_tampered_artifact_keeps_a_version_from_serving(tmp_path):
    directory = write_version(tmp_path, doubling(), {})
    (directory / "model.onnx").write_bytes(b"tampered")
    with pytest.raises(ArtifactMismatch):
        load_model(args(directory))


@pytest.fixture
def own_class(tmp_path, monkeypatch):
    """Write a release of format python whose class has the given body, and give its args."""
    monkeypatch.syspath_prepend(str(tmp_path))
    directory = tmp_path / "version"
    directory.mkdir()
    document = {
        "format": "python",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
        "warmup": {"rows": [1, 3]},
        "batching": {"max_rows": 4},
    }
    (directory / "model.yaml").write_text(yaml.safe_dump(document))

    def write(body: str) -> ReleaseArgs:
        (tmp_path / "release_code.py").write_text("class Model:\n" + textwrap.indent(textwrap.dedent(body), "    "))
        return args(directory, python_class="release_code:Model")

    yield write
    sys.modules.pop("release_code", None)


def ticking(step_s=0.001):
    """A clock that every reading moves on by `step_s`, so each execution takes one step."""
    ticks = itertools.count()
    return lambda: next(ticks) * step_s


def test_a_model_is_warmed_up_and_then_measured(own_class):
    code = "sizes = []\ndef predict(self, inputs):\n    self.sizes.append(len(inputs['x']))\n    return inputs['x']"
    model = load_model(own_class(code), clock=ticking())
    sizes = sys.modules["release_code"].Model.sizes
    assert sizes[:3] == [1, 3, 4]  # the sizes named and the largest batch
    assert [size for size, _ in itertools.groupby(sizes[3:])] == [1, 2, 4]
    assert model.info.profile == {1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0}


def test_a_profile_of_the_manifest_fills_in_what_was_not_measured(tmp_path):
    profile = {"device": "cpu", "threads": 1, "ms_by_rows": {1: 0.5, 16: 2.0, 128: 9.0}}
    directory = write_version(tmp_path, doubling(), {"profile": profile, "batching": {"max_rows": 64}})
    # 200 ms an execution: size 1 alone eats most of the budget. It took 0.5 ms where the profile is from.
    model = load_model(args(directory), clock=ticking(0.2))
    assert model.info.profile == {1: 200.0, 16: 800.0, 64: 200.0}
    elsewhere = write_version(tmp_path, doubling(), {"profile": profile | {"device": "cuda:0"}})
    assert load_model(args(elsewhere), clock=ticking(0.2)).info.profile == {1: 200.0, 64: 200.0}


COUNTING = """
made = []
def __init__(self):
    self.made.append(self)
    self.executions = 0
def predict(self, inputs):
    self.executions += 1
    return inputs["x"] * {}
"""


def test_every_instance_is_a_model_of_its_own(own_class):
    release = own_class(COUNTING.format(1)).model_copy(update={"runtime": RuntimeConfig(instances=2)})
    model = load_model(release, clock=ticking())
    assert model.info.instances == 2
    first, second = sys.modules["release_code"].Model.made
    assert second.executions == 3  # its own warm-up; only the first is measured
    before = first.executions
    assert model.predicts[1]({"x": np.ones((1, 2), np.float32)})["y"].tolist() == [[1.0, 1.0]]
    assert (first.executions, second.executions) == (before, 4)
    model.predict({"x": np.ones((1, 2), np.float32)})
    assert (first.executions, second.executions) == (before + 1, 4)


def test_every_instance_passes_the_golden_check(own_class, tmp_path):
    document = yaml.safe_load((tmp_path / "version" / "model.yaml").read_text())
    golden = {"inputs": {"x": [[1.0, 2.0]]}, "outputs": {"y": [[1.0, 2.0]]}}
    (tmp_path / "version" / "model.yaml").write_text(yaml.safe_dump(document | {"golden": [golden]}))
    release = own_class(COUNTING.format("len(self.made)"))
    assert len(load_model(release).predicts) == 1
    sys.modules.pop("release_code")
    with pytest.raises(CheckFailed, match="m-v1: golden 0"):  # both instances double
        load_model(release.model_copy(update={"runtime": RuntimeConfig(instances=2)}))


def test_the_replica_s_cpus_are_shared_out_to_the_instances(tmp_path):
    directory = write_version(tmp_path, doubling(), {})
    assert load_model(args(directory), cpus=4.5).threads == 4
    assert load_model(args(directory, runtime={"instances": 2}), cpus=4.5).threads == 2
    assert load_model(args(directory, runtime={"threads": 3}), cpus=0.25).threads == 3


@pytest.mark.parametrize(
    ("rows", "batching"), [(1, {"max_rows": 1}), (4, {"max_rows": 4, "allowed_rows": [4]})], ids=["one", "four"]
)
def test_a_fixed_batch_axis_serves_with_batches_of_that_size(tmp_path, rows, batching):
    golden = {"inputs": {"x": [[1.0, 2.0], [3.0, 4.0]]}, "outputs": {"y": [[1.0, 2.0], [3.0, 4.0]]}}
    directory = write_version(tmp_path, identity(TensorProto.FLOAT, [rows, 2]), {"golden": [golden]})
    with pytest.raises(ConfigError, match=rf"m-v1: the model's axis 0 is fixed, every execution has {rows} row"):
        load_model(args(directory))
    model = load_model(args(directory, batching=batching), clock=ticking())
    assert (model.fixed_rows, model.info.max_rows, model.info.profile) == (rows, rows, {rows: 1.0})


def test_inputs_of_any_length_are_told_without_the_mask_that_the_server_makes(tmp_path):
    names = ("tokens", "mask", "y")
    values = [helper.make_tensor_value_info(name, TensorProto.INT32, ["rows", "length"]) for name in names]
    artifact = onnx_model([helper.make_node("Mul", names[:2], ["y"])], values[:2], values[2:])
    tensors = [{"name": name, "datatype": "INT32", "shape": [-1, -1]} for name in names]
    ragged = {"lengths": [4, 8], "pad": {"tokens": 0}, "mask": "mask"}
    document = {"inputs": tensors[:2], "outputs": tensors[2:], "batching": {"ragged": ragged}}
    model = load_model(args(write_version(tmp_path, artifact, document)))
    assert [spec.name for spec in model.info.inputs] == ["tokens"]
    assert model.mask_dtype == np.int32
    with pytest.raises(ConfigError, match=r"m-v1: batching\.ragged names an input 'x'"):
        load_model(args(tmp_path, batching={"ragged": {"lengths": [4], "pad": {"x": 0}}}))


def test_a_model_that_fails_its_warm_up_never_serves(own_class):
    with pytest.raises(CheckFailed, match="m-v1: warm-up with 1 rows: ZeroDivisionError: division by zero"):
        load_model(own_class("def predict(self, inputs):\n    return 1 / 0"))


def test_a_constructor_that_raises_is_a_fault_of_the_release(own_class):
    with pytest.raises(ConfigError, match="m-v1 cannot be loaded: OSError: no key at <path>"):
        load_model(
            own_class(
                "def __init__(self):\n    raise OSError('no key at /opt/secret/key\\nmore')\ndef predict(self, i): ..."
            )
        )


def test_a_warm_up_beyond_the_memory_is_a_fault_of_the_release(tmp_path):
    free = identity(TensorProto.FLOAT, ["rows", "columns"])
    tensor = {"name": "x", "datatype": "FP32", "shape": [-1, 2**50]}
    with pytest.raises(CheckFailed, match="m-v1: warm-up with 1 rows: Unable to allocate"):
        load_model(args(write_version(tmp_path, free, {"inputs": [tensor]})))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trusted_sha256": ("abc",)}, "trusted_sha256.0 'abc': "),
        ({"trusted_sha256": ("A" * 64,)}, "trusted_sha256.0 'AAA"),
        ({"python_class": "nonsense"}, "python_class 'nonsense': "),
        ({"model": "a b"}, "model 'a b': "),
        ({"version": "v" * 129}, "version 'vvv"),
    ],
)
def test_values_that_make_no_release_are_named(changes, said):
    with pytest.raises(ConfigError) as raised:
        release_args(**{"model": "m", "version": "v1", "source": "models/m/v1"} | changes)
    assert str(raised.value).startswith(said)


def test_a_graph_says_how_long_each_node_took_and_a_model_does_not(tmp_path):
    source = write_version(tmp_path, doubling(), {"batching": {"max_rows": 4}})
    assert load_model(args(source)).info.nodes == {}
    nodes = [
        {"kind": "model", "name": "double", "source": str(source)},
        {"kind": "transform", "name": "half", "input": "double.y", "steps": [{"op": "scale", "factor": 0.5}]},
    ]
    x = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
    graph = {"inputs": [x], "nodes": nodes, "outputs": {"y": "half.y"}}
    info = load_model(args("", graph=graph, batching={"max_rows": 4})).info
    assert {name: list(times) for name, times in info.nodes.items()} == {"double": [1, 2, 4], "half": [1, 2, 4]}
    assert all(ms >= 0 for times in info.nodes.values() for ms in times.values())
