"""The Open Inference Protocol V2 over gRPC: `ModelInferRequest` to requests, responses to `ModelInferResponse`.

Inputs are `raw_input_contents`, which are the binary tensor data of REST, or typed `contents`. Outputs are always
`raw_output_contents`, as Triton's are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from tritonclient.grpc import service_pb2 as pb

from serve_app.datatypes import Datatype, datatype_of, parse_datatype
from serve_app.errors import InvalidInput, MalformedBody, TooLarge
from serve_app.protocol import binary_tensor, grpc_wire
from serve_app.protocol.binary_tensor import MAX_BYTES_ELEMENTS
from serve_app.protocol.call import Call
from serve_app.protocol.json_tensor import MAX_AXES, kind_name
from serve_app.protocol.v2_json import MAX_AXIS, MAX_STRING, MAX_TENSORS, NO_SHARED_MEMORY
from serve_app.protocol.v2_parameters import answered, explain, priority, timeout_s
from serve_app.types import Array, InferenceRequest, InferenceResponse, Parameters

_CONTENTS: Mapping[Datatype, str] = {
    Datatype.BOOL: "bool_contents",
    Datatype.INT8: "int_contents",
    Datatype.INT16: "int_contents",
    Datatype.INT32: "int_contents",
    Datatype.INT64: "int64_contents",
    Datatype.UINT8: "uint_contents",
    Datatype.UINT16: "uint_contents",
    Datatype.UINT32: "uint_contents",
    Datatype.UINT64: "uint64_contents",
    Datatype.FP32: "fp32_contents",
    Datatype.FP64: "fp64_contents",
    Datatype.BYTES: "bytes_contents",
}
"""The field of `InferTensorContents` for each datatype that has one."""

_WIDE = {"int_contents": np.dtype(np.int32), "uint_contents": np.dtype(np.uint32)}
_SHARED_MEMORY = "shared_memory_region"
_RAW_INPUTS = pb.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER
_RAW_OUTPUTS = pb.ModelInferResponse.RAW_OUTPUT_CONTENTS_FIELD_NUMBER
LONG_BYTES = 2**20  # from here on protobuf's copies of raw contents are noticed by other requests


class InferMessage(NamedTuple):
    """A request as it came.

    Attributes:
        message: Without the raw contents where these are long.
        raw: The raw contents.
        nbytes: Of all that came.
    """

    message: pb.ModelInferRequest
    raw: Sequence[bytes | memoryview]
    nbytes: int


class Serialized(NamedTuple):
    """An answer that is its bytes already."""

    data: bytes

    def SerializeToString(self) -> bytes:
        """As of any message."""
        return self.data


def parse_request(data: bytes) -> InferMessage:
    """The message in bytes; long raw contents are views of them.

    Raises:
        DecodeError: It is none.
    """
    parts = grpc_wire.without(data, _RAW_INPUTS) if len(data) > LONG_BYTES else None
    if parts is not None:
        head, raw = parts
        return InferMessage(pb.ModelInferRequest.FromString(head), raw, len(data))
    message = pb.ModelInferRequest.FromString(data)
    return InferMessage(message, message.raw_input_contents, len(data))


def decode_request(given: InferMessage, call: Call) -> tuple[InferenceRequest, Mapping[str, int]]:
    """The request in a message, and how many classes are wanted instead of an output's scores, by its name.

    Args:
        given: Already bounded in size.
        call: What the message's names and the call's metadata say.

    Raises:
        MalformedBody: The message's parts do not fit together.
        InvalidInput: A tensor or parameter is not what it says it is; it is named.
        TooLarge: A BYTES tensor has too many elements.
    """
    message, raw, _ = given
    parameters = _parameters(message.parameters)
    outputs, classes = _outputs(message.outputs)
    request = InferenceRequest(
        call.model_name,
        _inputs(message, raw),
        call.model_version,
        outputs,
        _bounded(message.id, "'id'"),
        call.request_id,
        parameters,
        timeout_s(parameters, call.timeout_s),
        priority(parameters),
        call.tenant,
        explain(parameters, call.explain),
        call.user,
    )
    return request, classes


def encode_response(response: InferenceResponse) -> pb.ModelInferResponse:
    """The message of an answer."""
    message, raw = _head_and_raw(response)
    message.raw_output_contents.extend(map(bytes, raw))
    return message


def serialize_response(response: InferenceResponse) -> Serialized:
    """The same message in bytes; its tensors are copied once."""
    message, raw = _head_and_raw(response)
    return Serialized(grpc_wire.with_fields(message.SerializeToString(), _RAW_OUTPUTS, raw))


def _head_and_raw(response: InferenceResponse) -> tuple[pb.ModelInferResponse, list[memoryview | bytes]]:
    message = pb.ModelInferResponse(
        model_name=response.model_name, model_version=response.model_version, id=response.id
    )
    for name, said in answered(response).items():
        message.parameters[name].string_param = said
    raw = list[memoryview | bytes]()
    for name, array in response.outputs.items():
        datatype = datatype_of(array)
        message.outputs.add(name=name, datatype=datatype.value, shape=array.shape)
        raw.append(binary_tensor.from_array(array, datatype))
    return message, raw


def _inputs(message: pb.ModelInferRequest, raw: Sequence[bytes | memoryview]) -> dict[str, Array]:
    _bound_tensors(message.inputs, "'inputs'")
    if raw and len(raw) != len(message.inputs):
        raise MalformedBody(
            f"'raw_input_contents' has {len(raw)} members and 'inputs' {len(message.inputs)}: it holds all or none"
        )
    inputs: dict[str, Array] = {}
    for index, item in enumerate(message.inputs):
        subject = f"input {_bounded(item.name, 'the name of an input')!r}"
        if item.name in inputs:
            raise InvalidInput(subject, "is given twice")
        inputs[item.name] = _input(item, raw[index] if raw else None, subject)
    if not inputs:
        raise MalformedBody("'inputs' is empty")
    return inputs


def _input(item: pb.ModelInferRequest.InferInputTensor, raw: bytes | memoryview | None, subject: str) -> Array:
    if "classification" in _tensor_parameters(item.parameters, subject):
        raise InvalidInput(subject, "has parameter 'classification', which only outputs take")
    datatype, shape = parse_datatype(item.datatype, subject), _shape(item.shape, subject)
    if raw is None:
        return _typed(item.contents, datatype, shape, subject)
    if item.contents.ListFields():
        raise InvalidInput(subject, "has both 'contents' and 'raw_input_contents'; send one of them")
    return binary_tensor.to_array(memoryview(raw), datatype, shape, subject)


def _typed(contents: pb.InferTensorContents, datatype: Datatype, shape: Sequence[int], subject: str) -> Array:
    """The array in the one field of `contents` that its datatype has."""
    field = _CONTENTS.get(datatype)
    if field is None:
        raise InvalidInput(subject, f"is {datatype}, which has no field in 'contents'; send 'raw_input_contents'")
    for other, _ in contents.ListFields():
        if other.name != field:
            raise InvalidInput(subject, f"is {datatype} and has {other.name!r}; its elements belong into {field!r}")
    values, count = getattr(contents, field), math.prod(shape)
    if len(values) != count:
        raise InvalidInput(subject, f"has {len(values)} elements in {field!r}, shape {list(shape)} has {count}")
    if datatype is not Datatype.BYTES:
        wide: Array = np.fromiter(values, _WIDE.get(field, datatype.dtype), count)
        return _reshaped(_narrow(wide, datatype, subject), shape, subject)
    if count > MAX_BYTES_ELEMENTS:
        raise TooLarge(subject, count, MAX_BYTES_ELEMENTS, "BYTES elements")
    elements: Array = np.empty(count, dtype=object)
    elements[:] = list(values)
    return _reshaped(elements, shape, subject)


def _narrow(wide: Array, datatype: Datatype, subject: str) -> Array:
    """The same numbers in the datatype's own dtype: small integers travel as 32 bits."""
    narrow: Array = wide.astype(datatype.dtype, copy=False)
    if narrow is not wide and (lost := wide[narrow != wide]).size:
        raise InvalidInput(subject, f"has the element {lost[0]}, which {datatype} cannot hold")
    return narrow


def _reshaped(array: Array, shape: Sequence[int], subject: str) -> Array:
    try:
        return array.reshape(shape)
    except ValueError:  # no elements, but lengths whose product is beyond what an array can have
        raise InvalidInput(subject, f"has shape {list(shape)}, which no array can have") from None


def _outputs(
    items: Sequence[pb.ModelInferRequest.InferRequestedOutputTensor],
) -> tuple[tuple[str, ...], Mapping[str, int]]:
    """The outputs asked for, in order, and the classes wanted of them."""
    _bound_tensors(items, "'outputs'")
    names, classes = list[str](), dict[str, int]()
    for item in items:
        subject = f"output {_bounded(item.name, 'the name of an output')!r}"
        if item.name in names:
            raise InvalidInput(subject, "is asked for twice")
        names.append(item.name)
        count = _tensor_parameters(item.parameters, subject).get("classification", 0)
        if type(count) is not int or count < 0:  # a boolean is an int too
            raise InvalidInput(subject, f"has {kind_name(count)} as classification, must be a whole number of classes")
        if count:
            classes[item.name] = count
    return tuple(names), classes


def _bound_tensors(items: Sequence[object], subject: str) -> None:
    if len(items) > MAX_TENSORS:
        raise MalformedBody(f"{subject} has {len(items)} members, the limit is {MAX_TENSORS}")


def _bounded(text: str, subject: str) -> str:
    if len(text) > MAX_STRING:
        raise MalformedBody(f"{subject} has {len(text)} characters, the limit is {MAX_STRING}")
    return text


def _shape(shape: Sequence[int], subject: str) -> list[int]:
    if not shape:
        raise InvalidInput(subject, "has an empty 'shape'; axis 0 is the batch axis")
    if len(shape) > MAX_AXES or not all(0 <= axis < MAX_AXIS for axis in shape):
        raise InvalidInput(subject, f"needs a 'shape': a list of up to {MAX_AXES} whole numbers of 0 or more")
    return list(shape)


def _tensor_parameters(parameters: Mapping[str, pb.InferParameter], subject: str) -> Parameters:
    if _SHARED_MEMORY in parameters:
        raise InvalidInput(subject, f"has parameter {_SHARED_MEMORY!r}: {NO_SHARED_MEMORY}")
    return _parameters(parameters)


def _parameters(parameters: Mapping[str, pb.InferParameter]) -> Parameters:
    return {name: _value(name, parameter) for name, parameter in parameters.items()}


def _value(name: str, parameter: pb.InferParameter) -> str | int | float | bool:
    choice = parameter.WhichOneof("parameter_choice")
    if choice is None:
        raise InvalidInput(f"parameter {name[:40]!r}", "has no value")
    value: str | int | float | bool = getattr(parameter, choice)
    return value
