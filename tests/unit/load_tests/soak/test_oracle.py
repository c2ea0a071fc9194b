import numpy as np
import pytest
import yaml
from support.soak_oracle import DIGITS_V1, oracle, v2_answer

from load_tests.models import ROOT
from load_tests.soak.oracle import oracle_of

ORACLE = oracle()


def fault(body: bytes, version: str = "", rows: tuple[int, ...] = (0, 1)) -> str:
    return ORACLE.fault(body, "digits", version, rows)


def test_the_answer_of_any_version_that_may_answer_is_right():
    assert fault(v2_answer("v1", DIGITS_V1[[0, 1]], [0, 1])) == ""
    assert fault(v2_answer("v2", DIGITS_V1[[0, 1], ::-1], [1, 0])) == ""
    assert fault(v2_answer("v1", DIGITS_V1[[0, 1]] + 0.0005, [0, 1]), "v1") == ""


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (v2_answer("v2", DIGITS_V1[[0, 1], ::-1], [1, 0]), "version v1 was asked, v2 answered"),
        (v2_answer("v1", DIGITS_V1[[1, 0]], [1, 0]), "row 0 of 2 is off by 0.7"),  # somebody else's rows
        (v2_answer("v1", DIGITS_V1[[0, 1]], [0, 0]), "row 1 of 2 has label 0"),
        (v2_answer("v1", DIGITS_V1[[0]], [0]), "shapes (1, 2) and (1,) for 2 rows"),
        (v2_answer("v7", DIGITS_V1[[0, 1]], [0, 1]), "KeyError"),
        (b'{"model_version": "v1"}', "KeyError"),
        (b"<html>", "JSONDecodeError"),
    ],
)
def test_a_wrong_answer_is_told(body, says):
    assert says in fault(body, "v1")


def test_either_label_of_a_tie_is_right():
    assert fault(v2_answer("v1", DIGITS_V1[[2]], [0]), rows=(2,)) == ""
    assert fault(v2_answer("v1", DIGITS_V1[[2]], [1]), rows=(2,)) == ""


def test_versions_and_inputs_are_known():
    assert (ORACLE.versions("digits"), ORACLE.versions("wine")) == (["v1", "v2"], ["v1"])
    assert (ORACLE.input_name("digits"), ORACLE.input_name("wine")) == ("pixels", "features")


def test_the_releases_of_a_file_answer_for_all_held_out_rows(tmp_path):
    args = {"model": "digits", "version": "v1", "source": str(ROOT / "models/digits/v1"), "accelerator": "gpu"}
    config = tmp_path / "serve.yaml"
    config.write_text(yaml.safe_dump({"applications": [{"name": "gateway", "args": {}}, {"name": "d", "args": args}]}))
    made = oracle_of(config)
    answers = made.answers["digits", "v1"]
    assert answers["probabilities"].shape == (450, 10)
    assert np.array_equal(answers["label"], answers["probabilities"].argmax(axis=1))
    assert made.versions("wine") == []
