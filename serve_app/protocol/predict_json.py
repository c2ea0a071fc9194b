"""The shape of a hand-written Flask app: `{"input": [...]}` to `{"prediction": [...]}`."""

from __future__ import annotations

import orjson

from serve_app.errors import MalformedBody
from serve_app.protocol.call import Call
from serve_app.protocol.json_rows import is_one_row, nested, tensors
from serve_app.protocol.v2_json import parse_object
from serve_app.types import InferenceRequest, InferenceResponse, ReleaseInfo


def decode_request(body: bytes, info: ReleaseInfo, call: Call) -> InferenceRequest:
    """The request in a `/predict` body, read by the default model's signature.

    Args:
        body: `{"input": rows}`, where rows is a list of rows or one row alone; for a model of several inputs an object
            with the rows of each by name.
        info: The signature to read it by.
        call: What the headers say; its model is not read, the signature's is.

    Raises:
        MalformedBody: Not JSON, or without `input`.
        InvalidInput: The rows are not what the signature says.
    """
    document = parse_object(body)
    if "input" not in document:
        raise MalformedBody("'input' is missing: send {\"input\": [...]}")
    specs = {spec.name: spec for spec in info.inputs}
    inputs = {
        name: array[None] if is_one_row(array, specs[name]) else array
        for name, array in tensors(document["input"], info, "'input'").items()
    }
    return InferenceRequest(
        info.model,
        inputs,
        call.model_version,
        request_id=call.request_id,
        timeout_s=call.timeout_s,
        tenant=call.tenant,
        explain=call.explain,
        user=call.user,
    )


def encode_response(response: InferenceResponse) -> bytes:
    """`{"prediction": [...]}` with one member a row.

    Raises:
        InvalidInput: The output's datatype cannot travel as JSON.
    """
    name = response.prediction
    predictions = nested(response.outputs[name], name)
    return orjson.dumps({"prediction": predictions}, option=orjson.OPT_SERIALIZE_NUMPY)
