"""TensorFlow Serving's bodies; what is refused over HTTP stands in support.bad_requests."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.arithmetic import INFO

from serve_app.datatypes import Datatype
from serve_app.errors import InvalidInput, MalformedBody, NotSupported, ServeAppError
from serve_app.protocol.call import Call
from serve_app.protocol.tensorflow_rest import (
    decode_classify,
    decode_explain,
    decode_predict,
    decode_regress,
    model_metadata,
)
from serve_app.types import InferenceResponse, ReleaseInfo, TensorSpec

CALL = Call("arithmetic", "v1", "r", 0.5, "team", user="ann")
FLAT = replace(INFO, inputs=(TensorSpec("x", Datatype.FP32, (-1,)),))
BYTES = replace(INFO, inputs=(TensorSpec("image_bytes", Datatype.BYTES, (-1,)),))
NAMED = replace(
    INFO,
    inputs=(
        TensorSpec("tag", Datatype.BYTES, (-1,)),
        TensorSpec("signal", Datatype.FP32, (-1, 2)),
        TensorSpec("sensor", Datatype.INT64, (-1, 1, 2)),
    ),
)
ROWS = {
    "instances": [
        {"tag": "foo", "signal": [1, 2], "sensor": [[1, 2]]},
        {"tag": "bar", "signal": [3, 4], "sensor": [[4, 5]]},
    ]
}
COLUMNS = {"inputs": {"tag": ["foo", "bar"], "signal": [[1, 2], [3, 4]], "sensor": [[[1, 2]], [[4, 5]]]}}


def inputs_of(document: object, info: ReleaseInfo, decode=decode_predict) -> dict[str, object]:
    request, _ = decode(json.dumps(document).encode(), info, CALL)
    return {name: array.tolist() for name, array in request.inputs.items()}


def answer_of(document: object, info: ReleaseInfo, decode=decode_predict, **outputs: np.ndarray) -> object:
    _, encode = decode(json.dumps(document).encode(), info, CALL)
    return json.loads(encode(InferenceResponse("arithmetic", "v1", outputs)))


def test_rows_and_columns_of_the_only_input_need_no_name():
    for document in ({"instances": [1, 2.5]}, {"inputs": [1, 2.5]}, {"inputs": {"x": [1, 2.5]}}):
        assert inputs_of(document, FLAT) == {"x": [1, 2.5]}
    assert inputs_of({"instances": [{"x": [1, 2, 3]}]}, INFO) == {"x": [[1, 2, 3]]}


def test_the_rows_and_columns_of_several_inputs_are_the_same_tensors():
    expected = {"tag": [b"foo", b"bar"], "signal": [[1, 2], [3, 4]], "sensor": [[[1, 2]], [[4, 5]]]}
    assert inputs_of(ROWS, NAMED) == inputs_of(COLUMNS, NAMED) == expected


def test_what_url_and_headers_say_is_in_the_request():
    request, _ = decode_predict(b'{"instances": [[1, 2, 3]], "signature_name": "serving_default"}', INFO, CALL)
    assert (request.model_name, request.model_version, request.outputs) == ("arithmetic", "v1", ())
    assert (request.request_id, request.timeout_s, request.tenant, request.user) == ("r", 0.5, "team", "ann")


@pytest.mark.parametrize("text", ["/wA=", "/wA"])
@pytest.mark.parametrize(
    ("key", "wrap"),
    [
        ("instances", lambda image: [image]),
        ("instances", lambda image: [{"image_bytes": image}]),
        ("inputs", lambda image: [image]),
        ("inputs", lambda image: {"image_bytes": [image]}),
    ],
)
def test_base64_is_bytes_that_need_not_be_text(key, wrap, text):
    assert inputs_of({key: wrap({"b64": text})}, BYTES) == {"image_bytes": [b"\xff\x00"]}


def test_strings_and_base64_mix():
    assert inputs_of({"instances": ["é", {"b64": "/w=="}]}, BYTES) == {"image_bytes": ["é".encode(), b"\xff"]}


@pytest.mark.parametrize("text", ["/", "!!!!", "é", "/w==/w=="])
def test_base64_that_is_none_is_refused(text):
    with pytest.raises(InvalidInput, match="input 'image_bytes' has a 'b64' that is not base64"):
        inputs_of({"instances": [{"b64": text}]}, BYTES)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"instances": [1, 2]}, "each of 'instances' must be an object with the rows of each of tag, signal, sensor"),
        ({"inputs": [1]}, "'inputs' must be an object with the rows of each of tag, signal, sensor"),
        ({"instances": [ROWS["instances"][0], {"tag": "bar"}]}, "number 1 of 'instances' must be an object with the"),
        ({"instances": [{"other": 1}]}, "input 'other' is not one of arithmetic's"),
        ({"instances": [{"tag": {"b64": 7}}]}, "input 'tag' is BYTES but its data holds an object"),
        ({"instances": [{"signal": [1]}, {"signal": [1, 2]}]}, "nested unevenly"),
    ],
)
def test_rows_that_the_signature_does_not_have_are_refused(document, says):
    with pytest.raises(InvalidInput, match=says):
        inputs_of(document, NAMED)


def test_a_signature_name_that_is_no_string_is_refused():
    with pytest.raises(MalformedBody, match="'signature_name' must be a string"):
        inputs_of({"signature_name": 7}, INFO)


Y, TOTAL = np.array([[0.1, 2]], np.float32), np.array([3])


@pytest.mark.parametrize(
    ("document", "outputs", "answer"),
    [
        ({"instances": [[1, 2, 3]]}, {"y": Y}, {"predictions": [[0.1, 2.0]]}),
        ({"instances": [[1, 2, 3]]}, {"y": Y, "total": TOTAL}, {"predictions": [{"y": [0.1, 2.0], "total": 3}]}),
        ({"inputs": [[1, 2, 3]]}, {"y": Y}, {"outputs": [[0.1, 2.0]]}),
        ({"inputs": [[1, 2, 3]]}, {"y": Y, "total": TOTAL}, {"outputs": {"y": [[0.1, 2.0]], "total": [3]}}),
    ],
)
def test_answers_have_the_form_of_their_requests(document, outputs, answer):
    assert answer_of(document, INFO, **outputs) == answer


def test_outputs_whose_name_ends_in_bytes_are_base64_and_others_text():
    outputs = {"a_bytes": np.array([[b"\xff"]], object), "b": np.array(["é".encode()], object)}
    assert answer_of({"instances": [[1, 2, 3]]}, INFO, **outputs) == {
        "predictions": [{"a_bytes": [{"b64": "/w=="}], "b": "é"}]
    }


LABELLED = replace(INFO, outputs=(TensorSpec("y", Datatype.FP32, (-1, 2), ("cat", "dog")), *INFO.outputs))
VALUES = replace(NAMED, outputs=(TensorSpec("value", Datatype.FP32, (-1, 1)), TensorSpec("n", Datatype.INT64, (-1,))))


def test_classify_answers_with_labels_and_scores():
    document = {"examples": [{"x": [1, 2, 3]}, {"x": [4, 5, 6]}]}
    assert inputs_of(document, LABELLED, decode_classify) == {"x": [[1, 2, 3], [4, 5, 6]]}
    scores = np.array([[0.25, 0.75], [1, 0]], np.float32)
    expected = {"results": [[["cat", 0.25], ["dog", 0.75]], [["cat", 1.0], ["dog", 0.0]]]}
    assert answer_of(document, LABELLED, decode_classify, y=scores) == expected
    unlabelled = answer_of(document, INFO, decode_classify, y=scores)
    assert unlabelled == {"results": [[["", 0.25], ["", 0.75]], [["", 1.0], ["", 0.0]]]}


def test_regress_answers_with_a_value_for_each_example():
    document = {
        "context": {"tag": "foo"},
        "examples": [{"signal": [1, 2], "sensor": [1, 2]}, {"signal": [3, 4], "sensor": [4, 5]}],
    }
    expected = {"tag": [b"foo", b"foo"], "signal": [[1, 2], [3, 4]], "sensor": [[[1, 2]], [[4, 5]]]}
    assert inputs_of(document, VALUES, decode_regress) == expected
    answer = answer_of(document, VALUES, decode_regress, value=np.array([[1.5], [2.5]], np.float32))
    assert answer == {"results": [1.5, 2.5]}


def test_only_the_output_that_is_answered_is_asked_for():
    classify, _ = decode_classify(b'{"examples": [{"x": [1, 2, 3]}]}', INFO, CALL)
    assert classify.outputs == ("y",)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"examples": []}, "'examples' is empty"),
        ({"examples": [{"tag": "a"}, {}]}, "number 1 of 'examples' must be an object with the same names"),
        ({"examples": [{"signal": [1]}, {"signal": [1, 2, 3]}]}, "has 1 values in an example, 2 are expected"),
        ({"examples": [{"tag": "a"}], "context": {"tag": "b"}}, "example 0 has the feature 'tag', which is in 'conte"),
        ({"examples": [{"tag": {"b64": "!"}}]}, "not base64"),
    ],
)
def test_examples_that_the_signature_does_not_have_are_refused(document, says):
    with pytest.raises(InvalidInput, match=says):
        inputs_of(document, VALUES, decode_regress)


@pytest.mark.parametrize("document", [{"examples": 7}, {"examples": [7]}, {"examples": [], "context": 7}, {}])
def test_examples_that_are_none_are_refused(document):
    with pytest.raises(MalformedBody, match="must be a"):
        inputs_of(document, VALUES, decode_regress)


def test_models_without_one_output_of_the_kind_say_what_they_have():
    with pytest.raises(InvalidInput, match=r"arithmetic has y FP32 \[-1, 3\], total INT64 \[-1\]; use :predict"):
        inputs_of({"examples": []}, INFO, decode_regress)


def test_free_axes_cannot_be_said_by_examples():
    free = replace(INFO, inputs=(TensorSpec("x", Datatype.FP32, (-1, -1)),))
    with pytest.raises(InvalidInput, match="which examples cannot say; use :predict"):
        inputs_of({"examples": [{"x": 1}]}, free, decode_classify)


NAMES = st.sampled_from(["instances", "inputs", "examples", "context", "x", "tag", "signal", "sensor", "b64"])
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text()
VALUES_OF_ANY_KIND = st.recursive(
    SCALARS, lambda value: st.lists(value, max_size=3) | st.dictionaries(NAMES, value, max_size=3), max_leaves=20
)


@given(st.dictionaries(NAMES, VALUES_OF_ANY_KIND, max_size=3))
def test_any_json_is_a_request_or_an_error_of_ours(document):
    for info in (INFO, BYTES, VALUES):
        for decode in (decode_predict, decode_classify, decode_regress):
            with contextlib.suppress(ServeAppError):
                inputs_of(document, info, decode)


def test_explanations_are_not_given():
    with pytest.raises(NotSupported, match="only predicts; use :predict"):
        decode_explain(b"", INFO, CALL)


def test_the_metadata_is_the_one_signature():
    metadata = model_metadata(INFO)
    assert metadata["model_spec"] == {"name": "arithmetic", "signature_name": "", "version": "v1"}
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    dim = [{"size": "-1", "name": ""}, {"size": "3", "name": ""}]
    assert signature["inputs"] == {
        "x": {"dtype": "DT_FLOAT", "tensor_shape": {"dim": dim, "unknown_rank": False}, "name": "x"}
    }
    assert signature["outputs"]["total"]["dtype"] == "DT_INT64"
