"""TorchServe's bodies; what is refused over HTTP stands in support.bad_requests."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.arithmetic import INFO

from serve_app.datatypes import Datatype
from serve_app.errors import InvalidInput, NotSupported, ServeAppError
from serve_app.protocol.call import Call
from serve_app.protocol.torchserve_rest import decode_explanation, decode_prediction
from serve_app.types import InferenceResponse, TensorSpec

CALL = Call("arithmetic", "v1", "r", 0.5, "team", user="ann")
JSON = "application/json"
ROW = np.array([1, 2, 3], "<f4").tobytes()
DATA = replace(INFO, inputs=(TensorSpec("data", Datatype.FP32, (-1, 3)),))
TWO = replace(INFO, inputs=(TensorSpec("a", Datatype.FP32, (-1,)), TensorSpec("b", Datatype.BYTES, (-1,))))
IMAGE = replace(INFO, inputs=(TensorSpec("image", Datatype.BYTES, (-1,)),))


def form(**parts) -> tuple[bytes, str]:
    request = httpx.Request("POST", "http://x", files=parts)
    return request.read(), request.headers["content-type"]


def answer(encode, *rows: int) -> bytes:
    return encode(InferenceResponse("arithmetic", "v1", {"total": np.array(rows)}, "total"))


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"[1, 2, 3]", JSON),
        (b"[1, 2, 3]", "Application/JSON; charset=utf-8"),
        (b'{"x": [1, 2, 3]}', JSON),
        (b'{"data": [1, 2, 3]}', JSON),
        (b'{"body": {"x": [1, 2, 3]}}', JSON),
        (ROW, ""),
        (ROW, "application/octet-stream"),
        form(data=("row.bin", ROW, "application/octet-stream")),
        form(body=("row", ROW)),
        form(data=("row.json", b"[1, 2, 3]", JSON)),
        form(data=(None, b"[1, 2, 3]")),
    ],
)
def test_one_row_alone_gets_its_prediction_alone(body, content_type):
    request, encode = decode_prediction(body, content_type, INFO, CALL)
    assert request.inputs["x"].tolist() == [[1, 2, 3]]
    assert answer(encode, 6) == b"6"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"[[1, 2, 3], [1, 2, 3]]", JSON), (b'{"x": [[1, 2, 3], [1, 2, 3]]}', JSON), (ROW * 2, "")],
)
def test_rows_get_a_list(body, content_type):
    request, encode = decode_prediction(body, content_type, INFO, CALL)
    assert request.inputs["x"].tolist() == [[1, 2, 3]] * 2
    assert answer(encode, 6, 6) == b"[6,6]"


def test_a_list_of_one_row_gets_a_list():
    _, encode = decode_prediction(b"[[1, 2, 3]]", JSON, INFO, CALL)
    assert answer(encode, 6) == b"[6]"


def test_an_input_may_be_called_data():
    request, _ = decode_prediction(b'{"data": [1, 2, 3]}', JSON, DATA, CALL)
    assert request.inputs["data"].tolist() == [[1, 2, 3]]


def test_several_inputs_come_by_name():
    request, encode = decode_prediction(b'{"a": [1, 2], "b": ["x", "y"]}', JSON, TWO, CALL)
    assert request.inputs["b"].tolist() == [b"x", b"y"]
    assert answer(encode, 1, 2) == b"[1,2]"
    with pytest.raises(InvalidInput, match="the body must be an object with the rows of each of a, b"):
        decode_prediction(b"[1]", JSON, TWO, CALL)


def test_an_image_is_one_element_whatever_its_type():
    for body, content_type in (
        (b"\xff\xd8", "image/jpeg"),
        (b"\xff\xd8", ""),
        form(data=("kitten.jpg", b"\xff\xd8", "image/jpeg")),
    ):
        request, _ = decode_prediction(body, content_type, IMAGE, CALL)
        assert request.inputs["image"].tolist() == [b"\xff\xd8"]


@pytest.mark.parametrize(("body", "content_type"), [(ROW, ""), (b"[1, 2, 3]", JSON)])
def test_what_url_and_headers_say_is_in_the_request(body, content_type):
    request, _ = decode_prediction(body, content_type, INFO, CALL)
    assert (request.model_name, request.model_version, request.outputs) == ("arithmetic", "v1", ())
    assert (request.request_id, request.timeout_s, request.tenant, request.user) == ("r", 0.5, "team", "ann")


@given(st.binary() | st.text('[]{}:,0123456789.-e"xab').map(str.encode), st.sampled_from([JSON, "", "text/plain"]))
def test_any_bytes_are_a_request_or_an_error_of_ours(body, content_type):
    for info in (INFO, TWO, IMAGE):
        with contextlib.suppress(ServeAppError):
            decode_prediction(body, content_type, info, CALL)


def test_explanations_are_not_given():
    with pytest.raises(NotSupported, match="only predicts; use /predictions/arithmetic"):
        decode_explanation(b"", "", INFO, CALL)
