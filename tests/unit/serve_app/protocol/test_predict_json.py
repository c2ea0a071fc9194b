"""The Flask shape; what is refused stands in support.bad_requests."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from support.arithmetic import INFO

from serve_app.datatypes import Datatype
from serve_app.errors import InvalidInput
from serve_app.protocol.call import Call
from serve_app.protocol.predict_json import decode_request, encode_response
from serve_app.types import InferenceResponse, TensorSpec

CALL = Call("", request_id="r", timeout_s=0.5, tenant="team", user="ann")
TWO = replace(INFO, inputs=(TensorSpec("a", Datatype.FP32, (-1,)), TensorSpec("b", Datatype.BYTES, (-1,))))


def test_rows_and_one_row_alone_are_taken():
    assert decode_request(b'{"input": [[1, 2, 3], [4, 5, 6]]}', INFO, CALL).inputs["x"].shape == (2, 3)
    request = decode_request(b'{"input": [1, 2, 3]}', INFO, CALL)
    assert request.inputs["x"].tolist() == [[1, 2, 3]]
    assert request.inputs["x"].dtype == np.float32
    assert (request.model_name, request.outputs) == ("arithmetic", ())
    assert (request.request_id, request.timeout_s, request.tenant, request.user) == ("r", 0.5, "team", "ann")


def test_several_inputs_come_by_name():
    request = decode_request(b'{"input": {"a": [1, 2], "b": ["x", "y"]}}', TWO, CALL)
    assert request.inputs["b"].tolist() == [b"x", b"y"]
    with pytest.raises(InvalidInput, match="must be an object with the rows of each of a, b"):
        decode_request(b'{"input": [1]}', TWO, CALL)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([3, 1]), [3, 1]),
        (np.array([[0.5, 0.25]], np.float32), [[0.5, 0.25]]),
        (np.array([[b"a", b"b"], [b"c", b"d"]], object), [["a", "b"], ["c", "d"]]),
        (np.empty((2, 0), object), [[], []]),
    ],
)
def test_the_prediction_has_one_member_a_row(array, expected):
    assert json.loads(encode_response(InferenceResponse("m", "v", {"other": array, "out": array}, "out"))) == {
        "prediction": expected
    }
