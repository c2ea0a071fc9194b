"""The Open Inference Protocol V2 over REST with JSON tensors: bodies to requests, responses to bodies."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from serve_app.datatypes import datatype_of, parse_datatype
from serve_app.errors import InvalidInput, MalformedBody
from serve_app.protocol.json_tensor import MAX_AXES, from_array, to_array
from serve_app.types import Array, InferenceRequest, InferenceResponse, Parameters, ReleaseInfo, TensorSpec

MAX_TENSORS = 256
MAX_STRING = 256


def decode_request(body: bytes, model_name: str, model_version: str, request_id: str) -> InferenceRequest:
    """The request in a V2 infer body.

    Args:
        body: JSON, already bounded in size.
        model_name: From the URL.
        model_version: A version tag or label from the URL, or empty.
        request_id: Identity in logs; may be empty.

    Raises:
        MalformedBody: Not JSON, or not a V2 infer object.
        InvalidInput: A tensor or parameter is not what it says it is; it is named.
    """
    document = parse_object(body)
    parameters = _parameters(document.get("parameters"))
    return InferenceRequest(
        model_name,
        _inputs(document.get("inputs")),
        model_version,
        _outputs(document.get("outputs")),
        _string(document.get("id", ""), "'id'"),
        request_id,
        parameters,
        _timeout_s(parameters),
    )


def encode_response(response: InferenceResponse) -> bytes:
    """The V2 body of an answer; tensors are flat, in row-major order.

    Raises:
        InvalidInput: An output's datatype cannot travel as JSON.
    """
    outputs = []
    for name, array in response.outputs.items():
        datatype = datatype_of(array)
        data = from_array(array, datatype, f"output {name!r}")
        outputs.append({"name": name, "datatype": datatype, "shape": array.shape, "data": data})
    document = {"model_name": response.model_name, "model_version": response.model_version, "outputs": outputs}
    if response.id:
        document["id"] = response.id
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def model_metadata(info: ReleaseInfo, versions: tuple[str, ...]) -> dict[str, object]:
    """The V2 metadata object of a model, with what else is known of the release under `parameters`."""
    return {
        "name": info.model,
        "versions": list(versions),
        "platform": info.platform,
        "inputs": [_tensor_metadata(spec) for spec in info.inputs],
        "outputs": [_tensor_metadata(spec) for spec in info.outputs],
        "parameters": {
            "version": info.version,
            "device": info.device,
            "max_rows": info.max_rows,
            "max_queue_rows": info.max_queue_rows,
            "slo_ms": info.slo_ms,
            "prediction": info.prediction,
            "metrics": dict(info.metrics),
        },
    }


def parse_object(body: bytes) -> Mapping[str, object]:
    """The JSON object in `body`.

    Raises:
        MalformedBody: Not JSON (orjson also refuses NaN, invalid UTF-8 and nesting over 1,024), or not an object.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise MalformedBody("the body must be a JSON object")
    return document


def _tensor_metadata(spec: TensorSpec) -> dict[str, object]:
    metadata: dict[str, object] = {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}
    if spec.labels:
        metadata["parameters"] = {"labels": list(spec.labels)}
    return metadata


def _objects(value: object, subject: str) -> list[Mapping[str, object]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise MalformedBody(f"{subject} must be a list of objects")
    if len(value) > MAX_TENSORS:
        raise MalformedBody(f"{subject} has {len(value)} members, the limit is {MAX_TENSORS}")
    return value


def _inputs(value: object) -> dict[str, Array]:
    if value is None:
        raise MalformedBody("'inputs' is missing")
    inputs: dict[str, Array] = {}
    for item in _objects(value, "'inputs'"):
        name = _string(item.get("name"), "the 'name' of an input")
        subject = f"input {name!r}"
        if name in inputs:
            raise InvalidInput(subject, "is given twice")
        datatype = parse_datatype(_string(item.get("datatype"), f"the 'datatype' of {subject}"), subject)
        if "data" not in item:
            raise InvalidInput(subject, "has no 'data'; binary tensors are not taken here, send JSON")
        inputs[name] = to_array(item["data"], datatype, _shape(item.get("shape"), subject), subject)
    if not inputs:
        raise MalformedBody("'inputs' is empty")
    return inputs


def _outputs(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    names = tuple(_string(item.get("name"), "the 'name' of an output") for item in _objects(value, "'outputs'"))
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput(f"output {name!r}", "is asked for twice")
    return names


def _shape(value: object, subject: str) -> list[int]:
    if (
        not isinstance(value, list)
        or len(value) > MAX_AXES
        or not all(type(axis) is int and 0 <= axis < 2**40 for axis in value)
    ):
        raise InvalidInput(subject, f"needs a 'shape': a list of up to {MAX_AXES} whole numbers of 0 or more")
    if not value:
        raise InvalidInput(subject, "has an empty 'shape'; axis 0 is the batch axis")
    return value


def _parameters(value: object) -> Parameters:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MalformedBody("'parameters' must be an object")
    for name, parameter in value.items():
        if not isinstance(parameter, (str, int, float, bool)):
            raise InvalidInput(f"parameter {name[:40]!r}", "must be a string, a number or a boolean")
    return value


def _timeout_s(parameters: Parameters) -> float | None:
    timeout_us = parameters.get("timeout")
    if timeout_us is None:
        return None
    if isinstance(timeout_us, bool) or not isinstance(timeout_us, int):
        raise InvalidInput("parameter 'timeout'", f"is {str(timeout_us)[:40]!r}, must be whole microseconds")
    return timeout_us / 1e6


def _string(value: object, subject: str) -> str:
    if not isinstance(value, str):
        raise MalformedBody(f"{subject} must be a string" if value is not None else f"{subject} is missing")
    if len(value) > MAX_STRING:
        raise MalformedBody(f"{subject} has {len(value)} characters, the limit is {MAX_STRING}")
    return value
