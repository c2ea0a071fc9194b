"""V2 bodies with binary tensors: a JSON document and the tensors' bytes behind it, or one tensor's bytes alone.

This is Triton's binary tensor data extension: `Inference-Header-Content-Length` says where the document ends, and 0
says that there is none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from serve_app.datatypes import Datatype, datatype_of
from serve_app.errors import InvalidInput, MalformedBody
from serve_app.protocol.binary_tensor import BinarySection, from_array, joined, to_array
from serve_app.protocol.call import Call
from serve_app.protocol.v2_json import OutputForm, decode_request, document_of, json_output
from serve_app.types import Array, InferenceRequest, InferenceResponse, ReleaseInfo, TensorSpec

LENGTH_FIELD = "inference-header-content-length"


def json_length_of(field: str, body: bytes) -> int:
    """The bytes of JSON at the body's start, from an `inference-header-content-length` field that is not empty.

    Raises:
        MalformedBody: It is no number, or the body has fewer bytes.
    """
    if not (field.isascii() and field.isdigit() and len(field) < 20):
        raise MalformedBody(f"header {LENGTH_FIELD!r} is {field[:40]!a}, must be a whole number of bytes")
    length = int(field)
    if length > len(body):
        raise MalformedBody(f"header {LENGTH_FIELD!r} is {length}, but the body has {len(body)} bytes")
    return length


def decode_mixed(body: bytes, json_length: int, call: Call) -> tuple[InferenceRequest, OutputForm]:
    """The request in a V2 document of `json_length` bytes, over 0, with the bytes of its binary inputs behind it.

    Raises:
        MalformedBody: Not a V2 infer document, or bytes are left over.
        InvalidInput: A tensor or parameter is not what it says it is; it is named.
        TooLarge: A binary tensor has too many elements.
    """
    whole = memoryview(body)
    section = BinarySection(whole[json_length:])
    request, form = decode_request(whole[:json_length], call, section)
    section.finish()
    return request, form


def decode_raw(body: bytes, info: ReleaseInfo, call: Call) -> InferenceRequest:
    """The request whose body is the only input's bytes; its answer is `ALL_BINARY`, as Triton's is.

    The shape follows from the bytes. Where the signature has a free axis beside the batch axis, they are one row and
    that axis is what is left; else they are as many rows as they hold. A BYTES input is one element, the whole body.

    Raises:
        InvalidInput: The model has several inputs, several axes could take any length, or the bytes fit no shape.
    """
    if len(info.inputs) != 1:
        reason = f"needs a model with one input, {info.model} has {len(info.inputs)}"
        raise InvalidInput("a raw binary body", reason)
    spec = info.inputs[0]
    if spec.datatype is Datatype.BYTES:
        array: Array = np.empty(_one_element(spec), dtype=object)
        array.fill(body)
    else:
        array = to_array(memoryview(body), spec.datatype, _raw_shape(len(body), spec), f"input {spec.name!r}")
    return InferenceRequest(
        call.model_name,
        {spec.name: array},
        call.model_version,
        request_id=call.request_id,
        timeout_s=call.timeout_s,
        tenant=call.tenant,
        explain=call.explain,
        user=call.user,
    )


def encode_response(response: InferenceResponse, form: OutputForm) -> tuple[bytes, int]:
    """The body of an answer with binary outputs, and the bytes of JSON at its start.

    Raises:
        InvalidInput: The datatype of an output that is not binary cannot travel as JSON.
    """
    outputs, parts = list[dict[str, object]](), list[memoryview | bytes]()
    for name, array in response.outputs.items():
        if form.is_binary(name):
            output, data = _binary_output(name, array)
            parts.append(data)
        else:
            output = json_output(name, array)
        outputs.append(output)
    document = document_of(response, outputs)
    return joined((document, *parts)), len(document)


def _binary_output(name: str, array: Array) -> tuple[dict[str, object], memoryview | bytes]:
    datatype = datatype_of(array)
    data = from_array(array, datatype)
    parameters = {"binary_data_size": len(data)}
    return {"name": name, "datatype": datatype, "shape": array.shape, "parameters": parameters}, data


def _one_element(spec: TensorSpec) -> Sequence[int]:
    shape = [1 if axis == -1 else axis for axis in spec.shape]
    if math.prod(shape) != 1:
        reason = f"is BYTES of shape {list(spec.shape)}; a raw binary body is one element"
        raise InvalidInput(f"input {spec.name!r}", reason)
    return shape


def _raw_shape(nbytes: int, spec: TensorSpec) -> Sequence[int]:
    free = [axis for axis in range(1, len(spec.shape)) if spec.shape[axis] == -1]
    if len(free) > 1:
        reason = f"has shape {list(spec.shape)}: a raw binary body does not say the lengths of {len(free)} free axes"
        raise InvalidInput(f"input {spec.name!r}", reason)
    shape = [1, *spec.shape[1:]]
    unit = spec.datatype.dtype.itemsize * math.prod(axis for axis in shape if axis != -1)
    if nbytes % unit:
        reason = f"has shape {list(spec.shape)} of {spec.datatype}: {nbytes} bytes are no multiple of {unit}"
        raise InvalidInput(f"input {spec.name!r}", reason)
    shape[free[0] if free else 0] = nbytes // unit
    return shape
