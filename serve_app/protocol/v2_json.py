"""The Open Inference Protocol V2 over REST: JSON documents to requests, responses to JSON documents.

Tensors are JSON, or names for bytes that follow the document; `v2_binary` knows where those are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
import orjson

from serve_app.datatypes import Datatype, datatype_of, parse_datatype
from serve_app.errors import InvalidInput, MalformedBody
from serve_app.protocol import binary_tensor
from serve_app.protocol.binary_tensor import BinarySection
from serve_app.protocol.call import Call
from serve_app.protocol.json_numbers import MIN_BYTES, parse_numbers
from serve_app.protocol.json_tensor import MAX_AXES, from_array, kind_name, shaped, to_array
from serve_app.protocol.v2_parameters import answered, explain, priority, timeout_s
from serve_app.types import (
    Array,
    InferenceRequest,
    InferenceResponse,
    Parameters,
    ReleaseInfo,
    TensorSpec,
)

MAX_TENSORS = 256
MAX_STRING = 256
MAX_AXIS = 2**40
_DATATYPES: Mapping[str, Datatype] = {datatype.value: datatype for datatype in Datatype}
NO_SHARED_MEMORY = "this server never reads or writes a client's shared memory; send binary tensors"
_SHARED_MEMORY = "shared_memory_region"
_OBJECTS_ONLY = frozenset({dict})


@dataclass(frozen=True, slots=True)
class OutputForm:
    """How the client wants the outputs.

    Attributes:
        binary: Whether they are binary data.
        by_name: The same for single outputs, over `binary`.
        classes: How many of its best classes are wanted instead of an output's scores, by its name.
    """

    binary: bool = False
    by_name: Mapping[str, bool] = field(default_factory=dict)
    classes: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_all_json(self) -> bool:
        """Whether no output is binary data."""
        return not (self.binary or any(self.by_name.values()))

    def is_binary(self, name: str) -> bool:
        """Whether the output called `name` is binary data."""
        return self.by_name.get(name, self.binary)


ALL_JSON, ALL_BINARY = OutputForm(), OutputForm(binary=True)


def decode_request(
    body: bytes | memoryview, call: Call, section: BinarySection | None = None
) -> tuple[InferenceRequest, OutputForm]:
    """The request in a V2 infer document, and how its answer is to be written: `ALL_JSON` itself if all is plain JSON.

    Args:
        body: JSON, already bounded in size.
        call: What URL and headers say.
        section: The bytes of its binary tensors; None where the request cannot have any.

    Raises:
        MalformedBody: Not JSON, or not a V2 infer object.
        InvalidInput: A tensor or parameter is not what it says it is; it is named.
        TooLarge: A binary tensor has too many elements.
    """
    document: Mapping[str, object] | None = None
    if len(body) >= MIN_BYTES and type(body) is bytes and section is None:
        document = parse_numbers(body)
    if document is None:
        document = parse_object(body)
    parameters = _parameters(document.get("parameters"))
    outputs, form = _outputs(document.get("outputs"), parameters)
    request = InferenceRequest(
        call.model_name,
        _inputs(document.get("inputs"), section),
        call.model_version,
        outputs,
        _string(document.get("id", ""), "'id'"),
        call.request_id,
        parameters,
        timeout_s(parameters, call.timeout_s),
        priority(parameters),
        call.tenant,
        explain(parameters, call.explain),
        call.user,
    )
    return request, form


def encode_response(response: InferenceResponse) -> bytes:
    """The V2 document of an answer; tensors are flat, in row-major order.

    Raises:
        InvalidInput: An output's datatype cannot travel as JSON.
    """
    return document_of(response, [json_output(name, array) for name, array in response.outputs.items()])


def json_output(name: str, array: Array) -> dict[str, object]:
    """The object of one output whose data is JSON.

    Raises:
        InvalidInput: Its datatype cannot travel as JSON.
    """
    datatype = datatype_of(array)
    return {"name": name, "datatype": datatype, "shape": array.shape, "data": from_array(array, datatype, name)}


def document_of(response: InferenceResponse, outputs: list[dict[str, object]]) -> bytes:
    """The V2 document of an answer whose outputs are described already."""
    document: dict[str, object] = {
        "model_name": response.model_name,
        "model_version": response.model_version,
        "outputs": outputs,
    }
    if response.id:
        document["id"] = response.id
    if response.left_out or response.visits:
        document["parameters"] = answered(response)
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def model_metadata(info: ReleaseInfo, versions: tuple[str, ...]) -> dict[str, object]:
    """The V2 metadata object of a model, with what else is known of the release under `parameters`."""
    nodes = {name: {str(rows): ms for rows, ms in by_rows.items()} for name, by_rows in info.nodes.items()}
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
            "max_batch_bytes": info.max_batch_bytes,
            "allowed_rows": list(info.allowed_rows),
            "profile_ms": {str(rows): ms for rows, ms in info.profile.items()},
            "tuning_fault": info.tuning_fault,
            "slo_ms": info.slo_ms,
            "prediction": info.prediction,
            "metrics": dict(info.metrics),
            **({"nodes_ms": nodes} if nodes else {}),
        },
    }


def parse_object(body: bytes | memoryview) -> Mapping[str, object]:
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


def _objects(value: object, subject: str) -> list[dict[str, object]]:
    if not isinstance(value, list) or not _OBJECTS_ONLY.issuperset(map(type, value)):
        raise MalformedBody(f"{subject} must be a list of objects")
    if len(value) > MAX_TENSORS:
        raise MalformedBody(f"{subject} has {len(value)} members, the limit is {MAX_TENSORS}")
    return value


def _inputs(value: object, section: BinarySection | None) -> dict[str, Array]:
    if value is None:
        raise MalformedBody("'inputs' is missing")
    inputs: dict[str, Array] = {}
    for item in _objects(value, "'inputs'"):
        name = _string(item.get("name"), "the 'name' of an input")
        subject = f"input {name!r}"
        if name in inputs:
            raise InvalidInput(subject, "is given twice")
        inputs[name] = _input(item, section, subject)
    if not inputs:
        raise MalformedBody("'inputs' is empty")
    return inputs


def _input(item: Mapping[str, object], section: BinarySection | None, subject: str) -> Array:
    datatype = _datatype(item.get("datatype"), subject)
    shape = _shape(item.get("shape"), subject)
    nbytes = _binary_data_size(_tensor_parameters(item, subject), subject) if "parameters" in item else None
    if nbytes is None:
        if "data" not in item:
            raise InvalidInput(subject, "has no 'data' and no binary_data_size")
        data = item["data"]
        return shaped(data, shape, subject) if type(data) is np.ndarray else to_array(data, datatype, shape, subject)
    if "data" in item:
        raise InvalidInput(subject, "has both 'data' and binary_data_size; send one of them")
    if section is None:
        reason = f"has binary_data_size {nbytes}, but there is no header 'inference-header-content-length'"
        raise InvalidInput(subject, reason)
    return binary_tensor.to_array(section.take(nbytes, subject), datatype, shape, subject)


def _binary_data_size(parameters: Mapping[str, object], subject: str) -> int | None:
    if "classification" in parameters:
        raise InvalidInput(subject, "has parameter 'classification', which only outputs take")
    nbytes = parameters.get("binary_data_size")
    if nbytes is None:
        return None
    if type(nbytes) is not int or nbytes < 0:  # a boolean is an int too
        raise InvalidInput(subject, f"has {kind_name(nbytes)} as binary_data_size, must be a whole number of bytes")
    return nbytes


def _outputs(value: object, parameters: Parameters) -> tuple[tuple[str, ...], OutputForm]:
    """The outputs asked for, in order, and the form of all."""
    form = ALL_BINARY if _flag(parameters, "binary_data_output", "'parameters'") else ALL_JSON
    if value is None:
        return (), form
    by_name, classes = dict[str, bool](), dict[str, int]()
    for item in _objects(value, "'outputs'"):
        name = _string(item.get("name"), "the 'name' of an output")
        subject = f"output {name!r}"
        if name in by_name:
            raise InvalidInput(subject, "is asked for twice")
        own = _tensor_parameters(item, subject)
        is_binary = _flag(own, "binary_data", subject)
        by_name[name] = form.binary if is_binary is None else is_binary
        if count := _class_count(own, subject):
            classes[name] = count
    if classes or any(by_name.values()):
        return tuple(by_name), OutputForm(by_name=by_name, classes=classes)
    return tuple(by_name), form if not by_name else ALL_JSON


def _flag(parameters: Mapping[str, object], name: str, subject: str) -> bool | None:
    value = parameters.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidInput(subject, f"has {kind_name(value)} as {name}, must be true or false")
    return value


def _class_count(parameters: Mapping[str, object], subject: str) -> int:
    count = parameters.get("classification", 0)
    if type(count) is not int or count < 0:  # a boolean is an int too
        raise InvalidInput(subject, f"has {kind_name(count)} as classification, must be a whole number of classes")
    return count


def _tensor_parameters(item: Mapping[str, object], subject: str) -> Mapping[str, object]:
    parameters = item.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise InvalidInput(subject, "has 'parameters' that are not an object")
    if _SHARED_MEMORY in parameters:
        raise InvalidInput(subject, f"has parameter {_SHARED_MEMORY!r}: {NO_SHARED_MEMORY}")
    return parameters


def _datatype(value: object, subject: str) -> Datatype:
    known = _DATATYPES.get(value) if isinstance(value, str) else None
    return known or parse_datatype(_string(value, f"the 'datatype' of {subject}"), subject)


def _shape(value: object, subject: str) -> list[int]:
    if not isinstance(value, list) or len(value) > MAX_AXES:
        _refuse_shape(subject)
    if not value:
        raise InvalidInput(subject, "has an empty 'shape'; axis 0 is the batch axis")
    for axis in value:
        if type(axis) is not int or not 0 <= axis < MAX_AXIS:  # a boolean is an int too
            _refuse_shape(subject)
    return value


def _refuse_shape(subject: str) -> NoReturn:
    raise InvalidInput(subject, f"needs a 'shape': a list of up to {MAX_AXES} whole numbers of 0 or more")


def _parameters(value: object) -> Parameters:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MalformedBody("'parameters' must be an object")
    for name, parameter in value.items():
        if not isinstance(parameter, (str, int, float, bool)):
            raise InvalidInput(f"parameter {name[:40]!r}", "must be a string, a number or a boolean")
    return value


def _string(value: object, subject: str) -> str:
    if not isinstance(value, str):
        raise MalformedBody(f"{subject} must be a string" if value is not None else f"{subject} is missing")
    if len(value) > MAX_STRING:
        raise MalformedBody(f"{subject} has {len(value)} characters, the limit is {MAX_STRING}")
    return value
