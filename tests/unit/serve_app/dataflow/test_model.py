import sys
import textwrap

import numpy as np
import pytest
import yaml
from onnx import TensorProto
from support.versions import doubling, identity, write_version

from serve_app.config.release import ReleaseArgs
from serve_app.dataflow.model import load_model, release_args, short_reason
from serve_app.errors import (
    AcceleratorMissing,
    ArtifactMismatch,
    CheckFailed,
    ConfigError,
    InvalidInput,
    ModelFailure,
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


def test_gpu_is_refused_by_the_release_s_name_and_auto_goes_on_without(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    directory = write_version(tmp_path, doubling(), {})
    with pytest.raises(AcceleratorMissing, match="m-v1 asks for accelerator: gpu"):
        load_model(args(directory, accelerator="gpu"))
    assert load_model(args(directory, accelerator="auto")).info.device == "cpu"


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
        code = "from serve_app.errors import InvalidInput\nclass Model:\n" + textwrap.indent(
            textwrap.dedent(body), "    "
        )
        (tmp_path / "release_code.py").write_text(code)
        return args(directory, python_class="release_code:Model")

    yield write
    sys.modules.pop("release_code", None)


ROWS = {"x": np.ones((2, 2), np.float32)}
FAILS_ON_TWO_ROWS = """
def predict(self, inputs):
    if len(inputs["x"]) == 2:
        {}
    return inputs["x"]
"""


def test_the_warm_up_executes_every_named_size_and_the_largest_batch(own_class):
    load_model(
        own_class(
            "sizes = []\ndef predict(self, inputs):\n    self.sizes.append(len(inputs['x']))\n    return inputs['x']"
        )
    )
    assert sys.modules["release_code"].Model.sizes == [1, 3, 4]


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


def test_what_the_model_raises_is_a_failure_with_a_short_reason(own_class, caplog):
    model = load_model(own_class(FAILS_ON_TWO_ROWS.format("raise KeyError('x' * 500)")))
    with pytest.raises(ModelFailure) as raised:
        model.predict(ROWS)
    assert raised.value.reason.startswith("KeyError: 'xxx")
    assert len(raised.value.reason) == 200
    assert "Traceback" in caplog.text
    assert len(model.predict({"x": np.ones((3, 2), np.float32)})["y"]) == 3


def test_an_answer_of_the_wrong_length_is_a_failure(own_class):
    model = load_model(own_class(FAILS_ON_TWO_ROWS.format("return inputs['x'][:1]")))
    with pytest.raises(ModelFailure, match="m-v1 failed: output 'y' answered 1 rows for 2"):
        model.predict(ROWS)


def test_what_the_caller_did_wrong_stays_the_caller_s_error(own_class):
    model = load_model(own_class(FAILS_ON_TWO_ROWS.format("raise InvalidInput(\"input 'x'\", 'is no text')")))
    with pytest.raises(InvalidInput, match="input 'x' is no text"):
        model.predict(ROWS)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("first\nsecond"), "ValueError: first"),
        (ValueError(), "ValueError"),
        (RuntimeError("cannot open /home/me/models/x.bin now"), "RuntimeError: cannot open <path> now"),
    ],
)
def test_reasons_have_one_line_and_no_paths(error, reason):
    assert short_reason(error) == reason


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
