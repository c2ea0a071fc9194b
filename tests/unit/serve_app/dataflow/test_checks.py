import numpy as np
import pytest
from support.versions import doubling, onnx_document

from serve_app.config.manifest import Manifest
from serve_app.config.release import BatchingConfig, RaggedConfig
from serve_app.dataflow.checks import (
    check_answer,
    check_golden,
    check_ragged,
    in_batches,
    rows_to_array,
    warmup_batches,
)
from serve_app.datatypes import Datatype
from serve_app.errors import CheckFailed, ConfigError, ModelFailure
from serve_app.types import TensorSpec

OUTPUTS = (TensorSpec("p", Datatype.FP32, (-1, 2)), TensorSpec("label", Datatype.INT64, (-1,)))


def answer(**changes):
    return {"label": np.zeros(3, np.int64), "p": np.zeros((3, 2), np.float32)} | changes


def test_a_right_answer_comes_back_in_the_signature_s_order():
    checked = check_answer(answer(more=np.zeros(1)), OUTPUTS, 3, "m-v1")
    assert list(checked) == ["p", "label"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"label": None}, "has no output 'label'"),
        ({"p": np.zeros((3, 2))}, "'p' has dtype float64, the signature FP32"),
        ({"p": np.zeros((2, 2), np.float32)}, "'p' answered 2 rows for 3"),
        ({"label": np.zeros(4, np.int64)}, "'label' answered 4 rows for 3"),
        ({"p": np.zeros((3, 3), np.float32)}, r"'p' has shape \[3, 3\], not \[-1, 2\]"),
        ({"p": np.zeros(3, np.float32)}, r"'p' has shape \[3\], not \[-1, 2\]"),
    ],
)
def test_an_answer_that_breaks_the_signature_is_a_failure(changes, reason):
    with pytest.raises(ModelFailure, match=f"m-v1 failed: .*{reason}"):
        check_answer(answer(**changes), OUTPUTS, 3, "m-v1")


def manifest(*golden, datatype="FP32", shape=(-1, 2)) -> Manifest:
    tensors = {
        kind: [{"name": name, "datatype": datatype, "shape": list(shape)}]
        for kind, name in (("inputs", "x"), ("outputs", "y"))
    }
    return Manifest.model_validate(onnx_document(doubling()) | tensors | {"golden": list(golden)})


def test_warm_up_rows_are_zeros_with_free_axes_of_length_1():
    rows = warmup_batches(manifest(shape=(-1, -1, 3)))(5)["x"]
    assert (rows.shape, rows.dtype, rows.any()) == ((5, 1, 3), np.float32, False)
    texts = warmup_batches(manifest(datatype="BYTES"))(2)["x"]
    assert texts.tolist() == [[b"", b""], [b"", b""]]
    images = warmup_batches(manifest(datatype="BYTES"), samples={"x": b"png", "z": b""})(1)["x"]
    assert images.tolist() == [[b"png", b"png"]]


def test_warm_up_repeats_golden_rows_where_there_are_some():
    golden = {"inputs": {"x": [[1, 2], [3, 4]]}, "outputs": {"y": [[2, 4], [6, 8]]}}
    assert warmup_batches(manifest(golden))(3)["x"].tolist() == [[1, 2], [3, 4], [1, 2]]


TOKENS = {"name": "tokens", "datatype": "INT64", "shape": [-1, -1]}
MASK = {"name": "mask", "datatype": "INT64", "shape": [-1, -1]}
AGE = {"name": "age", "datatype": "FP32", "shape": [-1]}


def ragged_manifest(*inputs):
    return Manifest.model_validate(onnx_document(doubling()) | {"inputs": list(inputs)})


def test_warm_up_rows_of_ragged_inputs_are_of_the_longest_length():
    ragged = RaggedConfig(lengths=(2, 3), pad={"tokens": 0}, mask="mask")
    rows = warmup_batches(ragged_manifest(TOKENS, MASK, AGE), ragged)(2)
    assert {name: array.tolist() for name, array in rows.items()} == {
        "tokens": [[0, 0, 0], [0, 0, 0]],
        "mask": [[1, 1, 1], [1, 1, 1]],
        "age": [0, 0],
    }


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ([TOKENS], "names an input 'mask'; the model has tokens"),
        ([MASK], "names an input 'tokens'; the model has mask"),
        ([MASK, TOKENS | {"shape": [-1, 7]}], r"input 'tokens' has shape \[-1, 7\], it must be \[-1, -1, ...\]"),
        ([MASK | {"shape": [-1, -1, 2]}, TOKENS], r"input 'mask' has shape \[-1, -1, 2\], it must be \[-1, -1\]"),
        ([MASK, TOKENS | {"datatype": "BYTES"}], "input 'tokens' is BYTES, which cannot be padded"),
    ],
)
def test_inputs_that_cannot_be_padded_are_refused(inputs, reason):
    ragged = RaggedConfig(lengths=(4,), pad={"tokens": 0}, mask="mask")
    check_ragged(ragged, ragged_manifest(TOKENS, MASK).inputs)
    with pytest.raises(ConfigError, match=reason):
        check_ragged(ragged, ragged_manifest(*inputs).inputs)


@pytest.mark.parametrize(
    ("batching", "executed"),
    [
        (BatchingConfig(max_rows=8), [[1, 2, 3, 4, 5]]),
        (BatchingConfig(max_rows=2), [[1, 2], [3, 4], [5]]),
        (BatchingConfig(max_rows=1), [[1], [2], [3], [4], [5]]),
        (BatchingConfig(max_rows=4, allowed_rows=(2, 4)), [[1, 2, 3, 4], [5, 5]]),
    ],
)
def test_rows_are_checked_in_the_batches_that_traffic_has(batching, executed):
    seen = []

    def predict(inputs):
        seen.append(inputs["x"].tolist())
        return {"y": 2 * inputs["x"]}

    answer = in_batches(predict, batching)({"x": np.arange(1, 6)})
    assert seen == executed
    assert answer["y"].tolist() == [2, 4, 6, 8, 10]


def doubled(inputs):
    return {"y": inputs["x"] + inputs["x"]}


def test_golden_answers_within_the_tolerance_pass():
    exact = {"inputs": {"x": [[1, 2]]}, "outputs": {"y": [[2, 4]]}}
    near = {"inputs": {"x": [[1, 2]]}, "outputs": {"y": [[2.009, 4]]}, "atol": 0.01, "rtol": 0}
    nan = {"inputs": {"x": [[float("nan"), 2]]}, "outputs": {"y": [[float("nan"), 4]]}}
    check_golden(manifest(exact, near, nan), doubled, "m-v1")


def test_a_wrong_golden_answer_is_named_with_difference_and_tolerance():
    good = {"inputs": {"x": [[1, 2]]}, "outputs": {"y": [[2, 4]]}}
    wrong = {"inputs": {"x": [[1, 2]]}, "outputs": {"y": [[2.5, 4]]}, "atol": 0.25, "rtol": 0}
    with pytest.raises(CheckFailed) as raised:
        check_golden(manifest(good, wrong), doubled, "m-v1")
    assert str(raised.value) == "m-v1: golden 1: output 'y' differs by up to 0.5, allowed is 0.25 + 0 * |expected|"


@pytest.mark.parametrize(("datatype", "got"), [("INT64", 4), ("UINT8", 4), ("BYTES", b"bb")])
def test_integers_and_bytes_must_be_equal(datatype, got):
    x, y = ([["a", "b"]], [["aa", "bc"]]) if datatype == "BYTES" else ([[1, 2]], [[2, 5]])
    golden = {"inputs": {"x": x}, "outputs": {"y": y}, "atol": 10}
    with pytest.raises(CheckFailed, match=r"'y' differs in 1 of 2 values .*at \[0, 1\] it is"):
        check_golden(manifest(golden, datatype=datatype), doubled, "m-v1")


def test_another_number_of_rows_is_a_wrong_answer():
    golden = {"inputs": {"x": [[1, 2]]}, "outputs": {"y": [[2, 4], [0, 0]]}}
    with pytest.raises(CheckFailed, match=r"shape \[1, 2\], expected \[2, 2\]"):
        check_golden(manifest(golden), doubled, "m-v1")


@pytest.mark.parametrize("rows", [[[1]], [[1, "a"]], [1, 2], [], [[1, 2], [3]]])
def test_golden_rows_that_are_no_tensor_are_told(rows):
    golden = {"inputs": {"x": rows}, "outputs": {"y": [[2, 4]]}}
    with pytest.raises(CheckFailed, match="m-v1: golden 0: 'x'"):
        check_golden(manifest(golden), doubled, "m-v1")


def test_texts_and_bytes_in_golden_rows_are_the_same():
    spec = TensorSpec("x", Datatype.BYTES, (-1,))
    assert rows_to_array(["grün", b"\xff"], spec).tolist() == ["grün".encode(), b"\xff"]
    with pytest.raises(ValueError, match="element 3, which is no BYTES value"):
        rows_to_array([3], spec)


def test_a_number_that_the_datatype_cannot_hold_is_told():
    with pytest.raises(ValueError, match="'x' is no UINT8 tensor"):
        rows_to_array([300], TensorSpec("x", Datatype.UINT8, (-1,)))


@pytest.mark.parametrize(
    ("datatype", "element"),
    [
        ("INT64", 9.7),
        ("INT64", "9"),
        ("INT64", True),
        ("BOOL", "no"),
        ("BOOL", 1),
        ("FP32", None),
        ("FP32", "1.5"),
        ("FP32", True),
        ("BF16", "1.5"),
    ],
)
def test_elements_of_another_type_are_never_converted(datatype, element):
    with pytest.raises(ValueError, match=f"'x' has the element .* no {datatype} value"):
        rows_to_array([element], TensorSpec("x", Datatype(datatype), (-1,)))


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "FP32", "FP64"])
def test_floats_take_whole_numbers_and_those_that_are_none(datatype):
    array = rows_to_array([1, 0.5, float("inf"), float("nan")], TensorSpec("x", Datatype(datatype), (-1,)))
    assert array.dtype == Datatype(datatype).dtype
    assert array.tolist()[:3] == [1, 0.5, float("inf")]


def test_a_number_beyond_a_float_s_range_is_told():
    with pytest.raises(ValueError, match="'x' is no FP32 tensor: a number is outside its range"):
        rows_to_array([1e300], TensorSpec("x", Datatype.FP32, (-1,)))


@pytest.mark.parametrize(("expected", "said"), [(float("nan"), r"\[0, 0\] is 2, expected nan"), (2.5, "up to 0.5")])
def test_what_is_no_number_is_told_as_such(expected, said):
    golden = {"inputs": {"x": [[1, 2]]}, "outputs": {"y": [[expected, 4]]}}
    with pytest.raises(CheckFailed, match=said):
        check_golden(manifest(golden), doubled, "m-v1")
