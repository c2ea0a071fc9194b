"""How the bodies of each hot route are read and answered: the protocols, with what they need of a request's headers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from serve_app.errors import InvalidInput
from serve_app.protocol import predict_json, tensorflow_rest, torchserve_rest, v2_binary, v2_json
from serve_app.protocol.call import Call
from serve_app.protocol.classification import classified
from serve_app.protocol.v2_json import ALL_BINARY, ALL_JSON, OutputForm
from serve_app.types import InferenceRequest, InferenceResponse, ReleaseInfo


class Body(NamedTuple):
    """A request's body and the headers that say how to read it.

    Attributes:
        content: Whole, within the limit.
        content_type: `content-type`; may be empty.
        json_length: `inference-header-content-length`; may be empty.
    """

    content: bytes
    content_type: str = ""
    json_length: str = ""


class Answer(NamedTuple):
    """The body that goes back.

    Attributes:
        content: The body.
        json_length: The bytes of JSON at its start where binary outputs follow them; None where all is JSON.
    """

    content: bytes
    json_length: int | None = None


Signature = Callable[[str, str], ReleaseInfo]
"""Gives the signature of a model's version or label, as `DataPlane.signature` does."""

Encode = Callable[[InferenceResponse], Answer]
Decode = Callable[[Body, Call, Signature], tuple[InferenceRequest, Encode]]


class Codec(NamedTuple):
    """What a hot route's bodies are.

    Attributes:
        decode: Gives the request in a body, and what will encode its answer.
        methods: The HTTP methods that it is asked with.
    """

    decode: Decode
    methods: tuple[str, ...] = ("POST",)


def _decode_v2(body: Body, call: Call, signature: Signature) -> tuple[InferenceRequest, Encode]:
    if not body.json_length:
        request, form = v2_json.decode_request(body.content, call)
    elif json_length := v2_binary.json_length_of(body.json_length, body.content):
        request, form = v2_binary.decode_mixed(body.content, json_length, call)
    else:
        info = signature(call.model_name, call.model_version)
        request, form = v2_binary.decode_raw(body.content, info, call), ALL_BINARY
    if form.classes:
        return request, partial(_encode_v2_classes, form, signature)
    return request, _encode_v2_json if form is ALL_JSON else partial(_encode_v2_binary, form)


def _encode_v2_json(response: InferenceResponse) -> Answer:
    return Answer(v2_json.encode_response(response))


def _encode_v2_binary(form: OutputForm, response: InferenceResponse) -> Answer:
    return Answer(*v2_binary.encode_response(response, form))


def _encode_v2_classes(form: OutputForm, signature: Signature, response: InferenceResponse) -> Answer:
    info = signature(response.model_name, response.model_version)  # of the version that answered: it knows the labels
    response = classified(response, form.classes, info)
    return _encode_v2_json(response) if form.is_all_json else _encode_v2_binary(form, response)


def _decode_predict(body: Body, call: Call, signature: Signature) -> tuple[InferenceRequest, Encode]:
    _refuse_binary(body, "/predict")
    return predict_json.decode_request(
        body.content, signature(call.model_name, call.model_version), call
    ), _encode_predict


def _encode_predict(response: InferenceResponse) -> Answer:
    return Answer(predict_json.encode_response(response))


TensorflowDecode = Callable[[bytes, ReleaseInfo, Call], tuple[InferenceRequest, Callable[[InferenceResponse], bytes]]]


def _tensorflow(decode: TensorflowDecode) -> Codec:
    def decoded(body: Body, call: Call, signature: Signature) -> tuple[InferenceRequest, Encode]:
        _refuse_binary(body, "/v1/models")
        request, encode = decode(body.content, signature(call.model_name, call.model_version), call)
        return request, lambda response: Answer(encode(response))

    return Codec(decoded)


TorchserveDecode = Callable[
    [bytes, str, ReleaseInfo, Call], tuple[InferenceRequest, Callable[[InferenceResponse], bytes]]
]


def _torchserve(decode: TorchserveDecode) -> Codec:
    def decoded(body: Body, call: Call, signature: Signature) -> tuple[InferenceRequest, Encode]:
        _refuse_binary(body, "/predictions")
        info = signature(call.model_name, call.model_version)
        request, encode = decode(body.content, body.content_type, info, call)
        return request, lambda response: Answer(encode(response))

    return Codec(decoded, ("POST", "PUT"))  # its documentation sends files with curl -T, which puts


def _refuse_binary(body: Body, path: str) -> None:
    if body.json_length:
        raise InvalidInput(f"header {v2_binary.LENGTH_FIELD!r}", f"has no meaning for {path}")


V2 = Codec(_decode_v2)
PREDICT = Codec(_decode_predict)
TENSORFLOW = {
    "predict": _tensorflow(tensorflow_rest.decode_predict),
    "classify": _tensorflow(tensorflow_rest.decode_classify),
    "regress": _tensorflow(tensorflow_rest.decode_regress),
    "explain": _tensorflow(tensorflow_rest.decode_explain),
}
"""By the verb behind the colon of a TensorFlow Serving URL."""

TORCHSERVE = {
    "/predictions/": _torchserve(torchserve_rest.decode_prediction),
    "/explanations/": _torchserve(torchserve_rest.decode_explanation),
}
"""By the first part of a TorchServe URL."""
