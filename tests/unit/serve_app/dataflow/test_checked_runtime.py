"""The checks around a runtime: what it raises, what it answers, what a client may read of it."""

import numpy as np
import pytest

from serve_app.dataflow.checked_runtime import CheckedRuntime, short_reason
from serve_app.datatypes import Datatype
from serve_app.errors import InvalidInput, ModelRaised, ReplicaLost, WrongAnswer
from serve_app.types import TensorSpec

OUTPUTS = (TensorSpec("p", Datatype.FP32, (-1, 2)), TensorSpec("text", Datatype.FP32, (-1, -1)))
ROWS = {"x": np.ones((2, 2), np.float32)}


class Fake:
    """A runtime that answers, or raises, what it is given."""

    device, fixed_rows = "cpu", None

    def __init__(self, answer) -> None:
        self._answer = answer

    def predict(self, inputs):
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def answered(answer, outputs=OUTPUTS):
    return CheckedRuntime(Fake(answer), outputs, "m-v1").predict(ROWS)


def test_the_signature_s_outputs_come_back_in_its_order():
    p, text = np.zeros((2, 2), np.float32), np.zeros((2, 7), np.float32)
    checked = answered({"text": text, "more": p, "p": p})
    assert list(checked) == ["p", "text"]
    assert checked["p"] is p
    assert checked["text"] is text
    assert answered({"more": text, "p": p}, OUTPUTS[:1]) == {"p": p}


@pytest.mark.parametrize("outputs", [OUTPUTS, OUTPUTS[:1]], ids=["an axis is free", "all are fixed"])
@pytest.mark.parametrize(
    ("p", "reason"),
    [
        (None, "has no output 'p'"),
        (np.zeros((2, 2)), "'p' has dtype float64"),
        (np.zeros((1, 2), np.float32), "'p' answered 1 rows for 2"),
        (np.zeros((2, 3), np.float32), r"'p' has shape \[2, 3\], not \[-1, 2\]"),
        (np.zeros(2, np.float32), r"'p' has shape \[2\], not \[-1, 2\]"),
    ],
)
def test_an_answer_that_breaks_the_signature_is_refused(outputs, p, reason):
    with pytest.raises(WrongAnswer, match=f"m-v1 failed: .*{reason}"):
        answered({"p": p, "text": np.zeros((2, 3), np.float32)}, outputs)


def test_what_the_model_raises_is_a_failure_with_a_short_reason(caplog):
    with pytest.raises(ModelRaised) as raised:
        answered(KeyError("x" * 500))
    assert raised.value.reason.startswith("KeyError: 'xxx")
    assert len(raised.value.reason) == 200
    assert "m-v1 failed on a batch of 2 rows" in caplog.text
    assert "Traceback" in caplog.text


@pytest.mark.parametrize(
    "error",
    [InvalidInput("input 'x'", "is no text"), ReplicaLost("m.a-v1"), WrongAnswer("m.a-v1", "it has 2 rows")],
    ids=["the caller's", "a node was away", "a node's answer is wrong"],
)
def test_an_error_of_ours_stays_what_it_is(error):
    with pytest.raises(type(error)) as raised:
        answered(error)
    assert raised.value is error


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
