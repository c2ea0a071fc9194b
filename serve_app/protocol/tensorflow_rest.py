"""TensorFlow Serving's REST bodies, read by the model's signature: predict in rows or columns, classify, regress.

Unlike there, requests may not hold `NaN` or `Infinity`, which JSON does not have, and answers hold null for them.
"""

from __future__ import annotations

import binascii
import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import orjson

from serve_app.datatypes import Datatype
from serve_app.errors import InvalidInput, MalformedBody, NotSupported
from serve_app.protocol.call import Call
from serve_app.protocol.json_rows import input_named, nested, nested_objects, only_input
from serve_app.protocol.json_tensor import MAX_AXES, to_array
from serve_app.protocol.v2_json import parse_object
from serve_app.types import Array, InferenceRequest, InferenceResponse, ReleaseInfo, TensorSpec

SIGNATURE_NAME = "serving_default"
Encode = Callable[[InferenceResponse], bytes]
_SCORES = (Datatype.FP32, Datatype.FP64)
_DATA_TYPES = {
    Datatype.BOOL: "DT_BOOL",
    Datatype.FP16: "DT_HALF",
    Datatype.BF16: "DT_BFLOAT16",
    Datatype.FP32: "DT_FLOAT",
    Datatype.FP64: "DT_DOUBLE",
    Datatype.BYTES: "DT_STRING",
}  # the integers' names are V2's own behind DT_


def decode_predict(body: bytes, info: ReleaseInfo, call: Call) -> tuple[InferenceRequest, Encode]:
    """The request in a `:predict` body, and how its answer is written: in rows or in columns, as it came.

    Raises:
        MalformedBody: Not JSON, or not one of `instances` and `inputs`.
        InvalidInput: The tensors are not what the signature says, or another signature is asked for.
    """
    document = _document(body)
    if ("instances" in document) == ("inputs" in document):
        raise MalformedBody("send one of 'instances', a list of rows, and 'inputs', the tensors of all rows")
    if "instances" in document:
        return _request(_from_rows(document["instances"], info), call), _encode_rows
    return _request(_from_columns(document["inputs"], info), call), _encode_columns


def decode_classify(body: bytes, info: ReleaseInfo, call: Call) -> tuple[InferenceRequest, Encode]:
    """The request in a `:classify` body; its answer has a pair of label and score for each class of each example.

    Raises:
        MalformedBody: Not JSON, or without a list of `examples`.
        InvalidInput: The model has no output of scores, or the examples are not what the signature says.
    """
    found = [spec for spec in info.outputs if spec.datatype in _SCORES and len(spec.shape) == 2]
    labelled = [spec for spec in found if spec.labels]
    scores = _one_of(labelled or found, info, ":classify", "scores, floats of shape [-1, classes]")
    inputs = _from_examples(_document(body), info)
    return _request(inputs, call, (scores.name,)), partial(_encode_classes, scores.labels)


def decode_regress(body: bytes, info: ReleaseInfo, call: Call) -> tuple[InferenceRequest, Encode]:
    """The request in a `:regress` body; its answer has one number for each example.

    Raises:
        MalformedBody: Not JSON, or without a list of `examples`.
        InvalidInput: The model has no output of values, or the examples are not what the signature says.
    """
    found = [spec for spec in info.outputs if spec.datatype in _SCORES and spec.shape in ((-1,), (-1, 1))]
    values = _one_of(found, info, ":regress", "values, floats of shape [-1] or [-1, 1]")
    return _request(_from_examples(_document(body), info), call, (values.name,)), _encode_values


def decode_explain(body: bytes, info: ReleaseInfo, call: Call) -> tuple[InferenceRequest, Encode]:
    """Refuse KServe's `:explain`, which shares its URLs with these.

    Raises:
        NotSupported: Always.
    """
    raise NotSupported(f"explanations of {info.model}: this server only predicts; use :predict")


def model_metadata(info: ReleaseInfo) -> dict[str, object]:
    """What `GET .../metadata` tells: the one signature."""
    signature = {
        "inputs": {spec.name: _tensor_info(spec) for spec in info.inputs},
        "outputs": {spec.name: _tensor_info(spec) for spec in info.outputs},
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": info.model, "signature_name": "", "version": info.version},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE_NAME: signature}}},
    }


def _tensor_info(spec: TensorSpec) -> dict[str, object]:
    dim = [{"size": str(axis), "name": ""} for axis in spec.shape]
    return {
        "dtype": _DATA_TYPES.get(spec.datatype, f"DT_{spec.datatype}"),
        "tensor_shape": {"dim": dim, "unknown_rank": False},
        "name": spec.name,
    }


def _document(body: bytes) -> Mapping[str, object]:
    document = parse_object(body)
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise MalformedBody("'signature_name' must be a string")
    if name not in ("", SIGNATURE_NAME):
        raise InvalidInput("'signature_name'", f"is {name[:40]!r}; a model here has one signature, {SIGNATURE_NAME!r}")
    return document


def _request(inputs: dict[str, Array], call: Call, outputs: tuple[str, ...] = ()) -> InferenceRequest:
    return InferenceRequest(
        call.model_name,
        inputs,
        call.model_version,
        outputs,
        request_id=call.request_id,
        timeout_s=call.timeout_s,
        tenant=call.tenant,
        explain=call.explain,
        user=call.user,
    )


def _from_rows(instances: object, info: ReleaseInfo) -> dict[str, Array]:
    if not isinstance(instances, list):
        raise MalformedBody("'instances' must be a list of rows")
    if not instances or not _is_object(instances[0]):
        spec = only_input(info, "each of 'instances'")
        return {spec.name: _tensor(instances, spec)}
    columns = _by_name(instances, "'instances'")
    return {name: _tensor(column, input_named(name, info)) for name, column in columns.items()}


def _from_columns(inputs: object, info: ReleaseInfo) -> dict[str, Array]:
    if not isinstance(inputs, dict) or not _is_object(inputs):
        inputs = {only_input(info, "'inputs'").name: inputs}
    return {name: _tensor(column, input_named(name, info)) for name, column in inputs.items()}


def _from_examples(document: Mapping[str, object], info: ReleaseInfo) -> dict[str, Array]:
    """Tensors from `examples`, whose features are values or flat lists, and a `context` that all of them share."""
    examples, context = document.get("examples"), document.get("context", {})
    if not isinstance(examples, list) or not all(isinstance(example, dict) for example in examples):
        raise MalformedBody("'examples' must be a list of objects")
    if not isinstance(context, dict):
        raise MalformedBody("'context' must be an object")
    for number, example in enumerate(examples):
        if shared := context.keys() & example.keys():
            raise InvalidInput(f"example {number}", f"has the feature {min(shared)[:40]!r}, which is in 'context' too")
    columns = _by_name([{**context, **example} for example in examples], "'examples'")
    return {name: _features(column, input_named(name, info)) for name, column in columns.items()}


def _by_name(rows: list[dict[str, object]], subject: str) -> dict[str, list[object]]:
    """Rows of values by name as columns by name."""
    if not rows:
        raise InvalidInput(subject, "is empty, at least 1 is needed")
    names = rows[0].keys()
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or row.keys() != names:
            raise InvalidInput(f"number {number} of {subject}", "must be an object with the same names as number 0")
    return {name: [row[name] for row in rows] for name in names}


def _features(column: list[object], spec: TensorSpec) -> Array:
    subject, row_shape = f"input {spec.name!r}", spec.shape[1:]
    if -1 in row_shape:
        raise InvalidInput(subject, f"has shape {list(spec.shape)}, which examples cannot say; use :predict")
    elements: list[object] = []
    for value in column:
        values = value if isinstance(value, list) else [value]
        if len(values) != math.prod(row_shape):
            raise InvalidInput(subject, f"has {len(values)} values in an example, {math.prod(row_shape)} are expected")
        elements += values
    if spec.datatype is Datatype.BYTES:
        elements = [_from_base64(value, subject) for value in elements]
    return to_array(elements, spec.datatype, [len(column), *row_shape], subject)


def _tensor(value: object, spec: TensorSpec) -> Array:
    subject = f"input {spec.name!r}"
    if spec.datatype is Datatype.BYTES:
        value = _without_base64(value, subject, MAX_AXES)
    return to_array(value, spec.datatype, None, subject)


def _is_object(value: object) -> bool:
    """Whether it is an object of named values, not one that holds base64."""
    return isinstance(value, dict) and value.keys() != {"b64"}


def _without_base64(value: object, subject: str, depth: int) -> object:
    """The value with bytes in place of base64, down to a depth beyond which no tensor goes."""
    if isinstance(value, list) and depth:
        return [_without_base64(item, subject, depth - 1) for item in value]
    return _from_base64(value, subject)


def _from_base64(value: object, subject: str) -> object:
    if not isinstance(value, dict) or _is_object(value) or not isinstance(text := value["b64"], str):
        return value
    try:
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(subject, "has a 'b64' that is not base64") from None


def _one_of(found: list[TensorSpec], info: ReleaseInfo, verb: str, wanted: str) -> TensorSpec:
    if len(found) == 1:
        return found[0]
    outputs = ", ".join(f"{spec.name} {spec.datatype} {list(spec.shape)}" for spec in info.outputs)
    raise InvalidInput(verb, f"needs a model with one output of {wanted}; {info.model} has {outputs}; use :predict")


def _encode_rows(response: InferenceResponse) -> bytes:
    columns = {name: _values(name, array) for name, array in response.outputs.items()}
    predictions: object
    if len(columns) == 1:
        (predictions,) = columns.values()
    else:
        predictions = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return _dumps({"predictions": predictions})


def _encode_columns(response: InferenceResponse) -> bytes:
    columns = {name: _values(name, array) for name, array in response.outputs.items()}
    return _dumps({"outputs": columns if len(columns) > 1 else next(iter(columns.values()))})


def _encode_classes(labels: tuple[str, ...], response: InferenceResponse) -> bytes:
    ((name, array),) = response.outputs.items()
    if len(labels) != array.shape[1]:
        labels = ("",) * array.shape[1]
    scores: Iterable[Array] = nested(array, name)  # type: ignore[assignment]  # two axes, as it was chosen for
    return _dumps({"results": [[*zip(labels, row, strict=True)] for row in scores]})


def _encode_values(response: InferenceResponse) -> bytes:
    ((name, array),) = response.outputs.items()
    return _dumps({"results": nested(array.ravel(), name)})


def _values(name: str, array: Array) -> Array | list[object]:
    """The output's values by its shape; BYTES are base64 where the output's name says that they are no text."""
    if array.dtype == object and name.endswith("_bytes"):
        return nested_objects([{"b64": b64encode(item).decode()} for item in array.ravel()], array.shape)
    return nested(array, name)


def _dumps(document: dict[str, object]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
