"""Triton's generate extension: flat JSON to tensors, and responses back; for models of one response and of many."""

from __future__ import annotations

import orjson

from serve_app.errors import InvalidInput
from serve_app.protocol.call import Call
from serve_app.protocol.json_rows import nested
from serve_app.protocol.json_tensor import to_array
from serve_app.protocol.v2_json import parse_object
from serve_app.protocol.v2_parameters import explain, priority, timeout_s
from serve_app.types import Array, InferenceRequest, InferenceResponse, Parameters, ReleaseInfo, TensorSpec


def decode_request(body: bytes, info: ReleaseInfo, call: Call) -> InferenceRequest:
    """The request in a `generate` or `generate_stream` body.

    Args:
        body: A JSON object. A member, or a member of its `parameters`, that has an input's name is that input; `id` is
            the request's name; any other is a request parameter. An input is a list of rows, or one row alone, or one
            value.
        info: The signature to read it by.
        call: What the URL and the headers say.

    Raises:
        MalformedBody: Not a JSON object.
        InvalidInput: An input is not what the signature says, or a parameter is no string, number or boolean.
    """
    document = dict(parse_object(body))
    identity, given = document.pop("id", ""), document.pop("parameters", {})
    if not isinstance(identity, str):
        raise InvalidInput("'id'", "must be a string")
    if not isinstance(given, dict):
        raise InvalidInput("'parameters'", "must be an object")
    specs = {spec.name: spec for spec in info.inputs}
    inputs: dict[str, Array] = {}
    parameters: dict[str, str | int | float | bool] = {}
    for name, value in (*given.items(), *document.items()):
        if name in specs:
            inputs[name] = _tensor(value, specs[name])
        elif isinstance(value, str | int | float):
            parameters[name] = value
        else:
            known = ", ".join(specs)
            raise InvalidInput(
                f"{name[:40]!r}",
                f"is no input of {info.model} ({known}), and a parameter is a string, number or boolean",
            )
    return _request(call, inputs, identity, parameters)


def encode_response(response: InferenceResponse) -> bytes:
    """One response as a JSON object with each output beside the model's name and version.

    An output of one value is that value, one of a single row is the row, any other a list of rows.

    Raises:
        InvalidInput: An output's datatype cannot travel as JSON.
    """
    head = {"model_name": response.model_name, "model_version": response.model_version}
    if response.id:
        head["id"] = response.id
    values = {name: _value(array, name) for name, array in response.outputs.items()}
    return orjson.dumps(head | values, option=orjson.OPT_SERIALIZE_NUMPY)


def _request(call: Call, inputs: dict[str, Array], identity: str, parameters: Parameters) -> InferenceRequest:
    return InferenceRequest(
        call.model_name,
        inputs,
        call.model_version,
        id=identity,
        request_id=call.request_id,
        parameters=parameters,
        timeout_s=timeout_s(parameters, call.timeout_s),
        priority=priority(parameters),
        tenant=call.tenant,
        explain=explain(parameters, call.explain),
        user=call.user,
    )


def _tensor(value: object, spec: TensorSpec) -> Array:
    array = to_array(value if isinstance(value, list) else [value], spec.datatype, None, f"input {spec.name!r}")
    missing = len(spec.shape) - array.ndim  # validation tells of shapes that are wrong all the same
    return array.reshape((1,) * missing + array.shape) if missing > 0 else array


def _value(array: Array, name: str) -> object:
    if array.size == 1:
        return nested(array.reshape(1), name)[0]
    return nested(array[0] if len(array) == 1 and array.ndim > 1 else array, name)
