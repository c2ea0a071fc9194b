import numpy as np
import orjson
import pytest

from serve_app.datatypes import Datatype
from serve_app.errors import InvalidInput, MalformedBody
from serve_app.protocol.call import Call
from serve_app.protocol.generate_json import decode_request, encode_response
from serve_app.types import InferenceResponse, ReleaseInfo, TensorSpec

INFO = ReleaseInfo(
    "words",
    "v1",
    "python",
    "cpu",
    (TensorSpec("text", Datatype.BYTES, (-1, 1)), TensorSpec("n", Datatype.INT32, (-1,))),
    (),
    "",
    8,
    64,
)


def decoded(document: object):
    return decode_request(orjson.dumps(document), INFO, Call("words", "v1", "r", 2.0, "t", user="ann"))


def test_values_become_tensors_of_one_row():
    request = decoded({"id": "7", "text": "hé", "n": 3, "temperature": 0.5})
    assert (request.inputs["text"].tolist(), request.inputs["n"].tolist()) == ([["hé".encode()]], [3])
    assert (request.id, request.parameters, request.model_version) == ("7", {"temperature": 0.5}, "v1")
    assert (request.timeout_s, request.tenant, request.request_id, request.user) == (2.0, "t", "r", "ann")


def test_parameters_may_hold_inputs_and_rows_come_in_lists():
    request = decoded({"text": [["a"], ["b"]], "parameters": {"n": [1, 2], "timeout": 1000, "priority": 2}})
    assert (request.inputs["text"].shape, request.inputs["n"].tolist()) == ((2, 1), [1, 2])
    assert (request.timeout_s, request.priority) == (0.001, 2)


def test_one_row_may_lack_its_batch_axis():
    assert decoded({"text": ["a"], "n": [1]}).inputs["text"].shape == (1, 1)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"id": 3}, "'id' must be a string"),
        ({"parameters": [1]}, "'parameters' must be an object"),
        ({"txt": ["a"]}, "'txt' is no input of words"),
        ({"n": "three"}, "input 'n'"),
        ({"n": None}, "input 'n'"),
        ({"n": 2**40}, "input 'n'"),
        ({"text": {"a": 1}}, "input 'text'"),
        ({"parameters": {"x": None}}, "'x' is no input"),
    ],
)
def test_what_does_not_fit_is_named(document, reason):
    with pytest.raises(InvalidInput, match=reason):
        decoded(document)


def test_a_list_is_no_request():
    with pytest.raises(MalformedBody):
        decoded([1])


@pytest.mark.parametrize(
    ("array", "value"),
    [
        (np.array([[b"hi"]], object), "hi"),
        (np.array([2.5], np.float32), 2.5),
        (np.array([np.nan]), None),
        (np.array([[1, 2]]), [1, 2]),
        (np.array([1, 2]), [1, 2]),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array([True]), True),
    ],
)
def test_outputs_are_as_flat_as_they_can_be(array, value):
    response = InferenceResponse("words", "v1", {"y": array}, id="7")
    assert orjson.loads(encode_response(response)) == {
        "model_name": "words",
        "model_version": "v1",
        "id": "7",
        "y": value,
    }
