"""Each codec between bodies and the model's outputs; what the formats are stands with the protocols' tests."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.arithmetic import INFO, predict

from serve_app.errors import InvalidInput, NotSupported
from serve_app.protocol.call import Call
from serve_app.transport.codecs import PREDICT, TENSORFLOW, TORCHSERVE, V2, Answer, Body, Codec
from serve_app.types import InferenceResponse, ReleaseInfo

CALL = Call("arithmetic", "v1")
ROW = np.array([[1, 2, 3]], "<f4").tobytes()
V2_JSON = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}


def signature(model: str, version: str) -> ReleaseInfo:
    assert model == "arithmetic"
    return INFO


def answer(codec: Codec, body: Body) -> Answer:
    request, encode = codec.decode(body, CALL, signature)
    outputs = predict(request.inputs)
    names = request.outputs or tuple(outputs)
    return encode(InferenceResponse("arithmetic", "v1", {name: outputs[name] for name in names}, "total"))


@pytest.mark.parametrize(
    ("codec", "document", "expected"),
    [
        (PREDICT, {"input": [1, 2, 3]}, {"prediction": [6]}),
        (TENSORFLOW["predict"], {"instances": [[1, 2, 3]]}, {"predictions": [{"y": [3.0, 5.0, 7.0], "total": 6}]}),
        (TENSORFLOW["classify"], {"examples": [{"x": [1, 2, 3]}]}, {"results": [[["", 3.0], ["", 5.0], ["", 7.0]]]}),
    ],
)
def test_json_answers_have_no_length_of_json(codec, document, expected):
    content, json_length = answer(codec, Body(json.dumps(document).encode()))
    assert (json.loads(content), json_length) == (expected, None)


def test_torchserve_reads_by_the_content_type():
    codec = TORCHSERVE["/predictions/"]
    assert answer(codec, Body(b"[[1, 2, 3]]", "application/json")) == (b"[6]", None)
    assert answer(codec, Body(ROW)) == (b"6", None)


def test_v2_is_json_mixed_or_raw():
    assert answer(V2, Body(json.dumps(V2_JSON).encode())).json_length is None
    document = json.dumps({**V2_JSON, "parameters": {"binary_data_output": True}}).encode()
    content, json_length = answer(V2, Body(document, json_length=str(len(document))))
    assert content[json_length:][:12] == np.array([3, 5, 7], "<f4").tobytes()
    assert answer(V2, Body(ROW, json_length="0")).content.endswith(content[json_length:])


@pytest.mark.parametrize("binary", [True, False])
def test_v2_gives_the_best_classes_in_both_forms(binary):
    wanted = [{"name": "y", "parameters": {"classification": 1, "binary_data": binary}}]
    content, json_length = answer(V2, Body(json.dumps({**V2_JSON, "outputs": wanted}).encode()))
    (output,) = json.loads(content[:json_length])["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [1, 1])
    if binary:
        assert content[json_length:] == b"\x0a\0\0\0" + b"7.000000:2"
    else:
        assert (output["data"], json_length) == (["7.000000:2"], None)


@pytest.mark.parametrize("codec", [PREDICT, *TENSORFLOW.values(), *TORCHSERVE.values()])
def test_only_v2_has_binary_tensors(codec):
    with pytest.raises(InvalidInput, match="header 'inference-header-content-length' has no meaning for /"):
        answer(codec, Body(b"{}", json_length="2"))


@pytest.mark.parametrize("codec", [TENSORFLOW["regress"], TENSORFLOW["explain"], TORCHSERVE["/explanations/"]])
def test_what_a_model_cannot_do_is_refused(codec):
    with pytest.raises((InvalidInput, NotSupported), match="arithmetic"):
        answer(codec, Body(b"{}"))


def test_only_torchserve_is_asked_with_put():
    assert V2.methods == PREDICT.methods == TENSORFLOW["predict"].methods == ("POST",)
    assert TORCHSERVE["/predictions/"].methods == ("POST", "PUT")
