"""TorchServe's prediction bodies: JSON, the only input's bytes, or either as a field of a form.

A request there is one row, so one row that comes alone gets its prediction alone; rows in a list get a list.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson

from serve_app.errors import InvalidInput, MalformedBody, NotSupported
from serve_app.protocol.call import Call
from serve_app.protocol.json_rows import input_named, is_one_row, nested, tensors
from serve_app.protocol.multipart import part_named
from serve_app.protocol.v2_binary import decode_raw
from serve_app.types import InferenceRequest, InferenceResponse, ReleaseInfo

FIELDS = ("data", "body")
JSON, FORM, URL_ENCODED = "application/json", "multipart/form-data", "application/x-www-form-urlencoded"
Encode = Callable[[InferenceResponse], bytes]


def decode_prediction(body: bytes, content_type: str, info: ReleaseInfo, call: Call) -> tuple[InferenceRequest, Encode]:
    """The request in a `/predictions` body, and how its answer is written.

    Args:
        body: As its content type says: JSON is the rows of the only input, or an object with the rows of each by name,
            or one of these as its member `data` or `body`; a form has any of that in a field of that name; any other
            type, and none, is the bytes of the only input.
        content_type: The request's header; may be empty.
        info: The signature to read it by.
        call: What URL and headers say.

    Raises:
        MalformedBody: Not JSON, or not a form.
        InvalidInput: The rows are not what the signature says, or the content type is for forms of text.
    """
    media_type = _media_type(content_type)
    if media_type == FORM:
        part = part_named(FIELDS, body, content_type)
        body = bytes(part.content)
        media_type = _media_type(part.headers.get("content-type", "" if b"filename" in part.disposition else JSON))
    if media_type == URL_ENCODED:
        reason = f"is {URL_ENCODED}, which tools send by default; send {JSON}, application/octet-stream or {FORM}"
        raise InvalidInput("header 'content-type'", reason)
    if media_type == JSON:
        return _from_json(body, info, call)
    request = decode_raw(body, info, call)
    return request, _encode_one if request.rows == 1 else _encode_all


def decode_explanation(
    body: bytes, content_type: str, info: ReleaseInfo, call: Call
) -> tuple[InferenceRequest, Encode]:
    """Refuse to explain.

    Raises:
        NotSupported: Always.
    """
    raise NotSupported(f"explanations of {info.model}: this server only predicts; use /predictions/{info.model}")


def _from_json(body: bytes, info: ReleaseInfo, call: Call) -> tuple[InferenceRequest, Encode]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"the body is not JSON: {error}") from None
    if isinstance(value, dict) and len(value) == 1:
        (name,) = value
        if name in FIELDS and all(spec.name != name for spec in info.inputs):
            value = value[name]
    inputs = tensors(value, info, "the body")
    alone = [name for name, array in inputs.items() if is_one_row(array, input_named(name, info))]
    request = InferenceRequest(
        call.model_name,
        {name: array[None] if name in alone else array for name, array in inputs.items()},
        call.model_version,
        request_id=call.request_id,
        timeout_s=call.timeout_s,
        tenant=call.tenant,
        explain=call.explain,
        user=call.user,
    )
    return request, _encode_one if alone else _encode_all


def _encode_one(response: InferenceResponse) -> bytes:
    name = response.prediction
    return orjson.dumps(nested(response.outputs[name], name)[0], option=orjson.OPT_SERIALIZE_NUMPY)


def _encode_all(response: InferenceResponse) -> bytes:
    name = response.prediction
    return orjson.dumps(nested(response.outputs[name], name), option=orjson.OPT_SERIALIZE_NUMPY)


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
