"""The shape of a hand-written Flask app: `{"input": [...]}` to `{"prediction": [...]}`."""

from __future__ import annotations

import numpy as np
import orjson

from serve_app.datatypes import datatype_of
from serve_app.errors import InvalidInput, MalformedBody
from serve_app.protocol.call import Call
from serve_app.protocol.json_tensor import from_array, to_array
from serve_app.protocol.v2_json import parse_object
from serve_app.types import Array, InferenceRequest, InferenceResponse, ReleaseInfo, TensorSpec


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
    value = document["input"]
    if isinstance(value, dict):
        by_name = {str(name): rows for name, rows in value.items()}
    elif len(info.inputs) == 1:
        by_name = {info.inputs[0].name: value}
    else:
        names = ", ".join(spec.name for spec in info.inputs)
        raise InvalidInput("'input'", f"must be an object with the rows of each of {names}")
    specs = {spec.name: spec for spec in info.inputs}
    inputs = {
        name: _rows(rows, specs[name]) if name in specs else _unknown(name, info) for name, rows in by_name.items()
    }
    return InferenceRequest(
        info.model, inputs, request_id=call.request_id, timeout_s=call.timeout_s, tenant=call.tenant
    )


def encode_response(response: InferenceResponse) -> bytes:
    """`{"prediction": [...]}` with one member a row.

    Raises:
        InvalidInput: The output's datatype cannot travel as JSON.
    """
    name = response.prediction
    array = response.outputs[name]
    flat = from_array(array, datatype_of(array), name)
    if isinstance(flat, list):
        texts = np.empty(len(flat), dtype=object)
        texts[:] = flat
        return orjson.dumps({"prediction": texts.reshape(array.shape).tolist()})
    return orjson.dumps({"prediction": flat.reshape(array.shape)}, option=orjson.OPT_SERIALIZE_NUMPY)


def _rows(value: object, spec: TensorSpec) -> Array:
    array = to_array(value, spec.datatype, None, f"input {spec.name!r}")
    return array[None] if array.ndim == len(spec.shape) - 1 else array


def _unknown(name: str, info: ReleaseInfo) -> Array:
    raise InvalidInput(
        f"input {name[:40]!r}", f"is not one of {info.model}'s: {', '.join(i.name for i in info.inputs)}"
    )
