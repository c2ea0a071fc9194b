"""Large V2 documents without a Python object for each number: simdjson reads a tensor's data straight into an array.

This is a short cut for what is right and usual: flat data of numbers that the datatype has. Whatever else a body is -
nested data, strings, booleans, numbers out of range, no JSON at all - is left to the ordinary parser, which says what
is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import simdjson

from serve_app.datatypes import Datatype
from serve_app.types import Array

MIN_BYTES = 2048  # of a body; a smaller one gains nothing
_KEPT_BYTES = 2**20  # a parser keeps several times the bytes of its largest document

_KINDS: Mapping[str, tuple[Literal["d", "i", "u"], np.dtype[Any]]] = {
    "i": ("i", np.dtype(np.int64)),
    "u": ("u", np.dtype(np.uint64)),
    "f": ("d", np.dtype(np.float64)),
}
_BUFFERS: Mapping[str, tuple[Literal["d", "i", "u"], np.dtype[Any]]] = {
    datatype.value: _KINDS[datatype.dtype.kind]
    for datatype in Datatype
    if datatype.dtype.kind in "iuf" and datatype is not Datatype.FP16
}
"""simdjson's name for a buffer of numbers, and its dtype, by the datatype of the tensor."""

_parser: Any = simdjson.Parser()  # its stubs do not tell what a document is made of


def parse_numbers(body: bytes) -> dict[str, object] | None:
    """The V2 document in `body` with its inputs' `data` as flat arrays of their datatype, as `orjson.loads` else.

    Returns:
        None where the ordinary parser must have a look.
    """
    try:
        parser = _parser if len(body) <= _KEPT_BYTES else simdjson.Parser()
        return _document(parser.parse(body), body)
    except (ValueError, TypeError, KeyError, RuntimeError):  # each of simdjson's errors is one of these
        return None


def _document(parsed: Any, body: bytes) -> dict[str, object] | None:  # noqa: ANN401 - simdjson's stubs tell nothing
    document = _members(parsed)
    inputs = document.pop("inputs")
    if not isinstance(inputs, simdjson.Array):
        return None
    items = [_members(item) for item in inputs]
    lists = 1 + sum(isinstance(value, simdjson.Array) for item in items for value in item.values())
    lists += sum(isinstance(value, simdjson.Array) for value in document.values())
    if body.count(b"[") != lists:  # a list in a list, or a bracket in a string
        return None
    whole: list[dict[str, object]] = []
    for item in items:
        data = _array(item.pop("data"), item["datatype"])
        if data is None:
            return None
        whole.append({name: _plain(value) for name, value in item.items()} | {"data": data})
    return {name: _plain(value) for name, value in document.items()} | {"inputs": whole}


def _members(parsed: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """An object's members, not yet converted.

    Raises:
        KeyError: Two have the same name: the ordinary parser takes the last, simdjson the first.
        TypeError: It is no object.
    """
    if not isinstance(parsed, simdjson.Object):
        raise TypeError(type(parsed))
    names = list(parsed)
    if len(set(names)) < len(names):
        raise KeyError(names)
    return {name: parsed[name] for name in names}


def _array(data: Any, datatype: object) -> Array | None:  # noqa: ANN401 - as above
    if datatype not in _BUFFERS or not isinstance(data, simdjson.Array):
        return None
    kind, dtype = _BUFFERS[str(datatype)]
    values = np.frombuffer(data.as_buffer(of_type=kind), dtype)
    wanted = Datatype(str(datatype)).dtype
    if wanted == dtype:
        return values
    if kind != "d" and values.size:
        limits = np.iinfo(wanted.name)
        if values.min() < limits.min or values.max() > limits.max:
            return None
    with np.errstate(over="ignore"):  # too large for FP32 is infinity, as the policy for NaN expects
        return values.astype(wanted)


def _plain(value: Any) -> object:  # noqa: ANN401 - as above
    if isinstance(value, simdjson.Array):
        return value.as_list()
    return value.as_dict() if isinstance(value, simdjson.Object) else value
