"""A tensor's `data` as JSON: nested or flat lists to arrays, checked, and arrays to flat lists.

NumPy would turn "7" into 7, None into NaN and 1.9 into 1; here each of these is an error that names the tensor.
"""

from __future__ import annotations

import math
from array import array as machine_values
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from serve_app.datatypes import Datatype
from serve_app.errors import InvalidInput
from serve_app.types import Array

MAX_AXES = 32
_NOT_IN_JSON = frozenset({Datatype.FP16, Datatype.BF16})
_NUMBERS_IN_JSON = frozenset(Datatype) - _NOT_IN_JSON - {Datatype.BYTES}
_TYPES: dict[Datatype, frozenset[type]] = {
    datatype: frozenset(
        {bool}
        if datatype is Datatype.BOOL
        else {str, bytes}  # bytes are what a protocol made of base64 text; JSON itself has none
        if datatype is Datatype.BYTES
        else {int}
        if datatype.is_integer
        else {int, float}
    )
    for datatype in Datatype
}


def to_array(data: object, datatype: Datatype, shape: Sequence[int] | None, subject: str) -> Array:
    """The array that a JSON tensor means.

    Args:
        data: Decoded JSON: a list, nested as `shape` says or flat.
        datatype: What the elements must be.
        shape: Lengths of the axes, each >= 0; None takes the nesting of `data`.
        subject: Names the tensor in errors.

    Returns:
        An array of the datatype's dtype with that shape.

    Raises:
        InvalidInput: The datatype cannot travel as JSON, elements are of another kind or out of its range, nesting is
            uneven, or there are more or fewer elements than the shape holds.
    """
    if datatype in _NOT_IN_JSON:
        raise InvalidInput(subject, f"is {datatype}, which JSON cannot carry; send FP32 or binary data")
    if not isinstance(data, list):
        raise InvalidInput(subject, f"needs a list as data, not {kind_name(data)}")
    elements, nesting = _flattened(data, subject)
    _checked(elements, datatype, subject)
    array = _strings(elements) if datatype is Datatype.BYTES else _numbers(elements, datatype, subject)
    if len(nesting) > 1 and shape is not None and nesting != tuple(shape):
        raise InvalidInput(subject, f"has shape {list(shape)} but its data is nested as {list(nesting)}")
    return shaped(array, nesting if shape is None else shape, subject)


def from_array(array: Array, datatype: Datatype, name: str) -> Array | list[object]:
    """The array's elements in row-major order, as something orjson writes; NaN and infinity become null.

    Args:
        array: A tensor of any shape.
        datatype: Its datatype.
        name: Of the output, for errors.

    Raises:
        InvalidInput: The datatype cannot travel as JSON, or a BYTES element is not UTF-8.
    """
    if datatype in _NUMBERS_IN_JSON:
        return array.ravel()
    if datatype is not Datatype.BYTES:
        raise InvalidInput(f"output {name!r}", f"is {datatype}, which JSON cannot carry; ask for binary data")
    try:
        return [item.decode() for item in array.ravel()]
    except UnicodeDecodeError:
        reason = "has elements that are not UTF-8, which JSON cannot carry; ask for binary data"
        raise InvalidInput(f"output {name!r}", reason) from None


def kind_name(value: object) -> str:
    """A JSON value as a sentence names it: scalars by their text, cut short, the others by their kind."""
    if isinstance(value, (int, float, str)) or value is None:
        text = "the string " + repr(value[:40]) if isinstance(value, str) else str(value)[:40]
        return {"None": "null", "True": "true", "False": "false"}.get(text, text)
    return "an object" if isinstance(value, dict) else "a list"


def _flattened(data: list[object], subject: str) -> tuple[list[object], tuple[int, ...]]:
    """The elements in row-major order and the shape that their nesting says."""
    shape = [len(data)]
    while data and type(first := data[0]) is list:
        if len(shape) == MAX_AXES or not _is_even(data):
            raise InvalidInput(subject, f"has data that is nested unevenly, or more than {MAX_AXES} deep")
        shape.append(len(first))
        # One row, the common case, needs no copy; and all members are lists, as just checked.
        data = first if len(data) == 1 else list(chain.from_iterable(data))  # type: ignore[arg-type]
    return data, tuple(shape)


def _is_even(data: list[object]) -> bool:
    """Whether the members, the first of which is a list, are all lists of one length."""
    if len(data) == 1:
        return True
    return set(map(type, data)) == {list} and len(set(map(len, data))) == 1  # type: ignore[arg-type]  # lists, just seen


def _checked(elements: list[object], datatype: Datatype, subject: str) -> None:
    """Refuse elements of another kind by their exact types: NumPy would convert some, and at any cost in memory."""
    allowed = _TYPES[datatype]
    if not allowed.issuperset(map(type, elements)):
        offender = next(item for item in elements if type(item) not in allowed)
        raise InvalidInput(subject, f"is {datatype} but its data holds {kind_name(offender)}")


def _numbers(elements: list[Any], datatype: Datatype, subject: str) -> Array:
    """The array of elements whose types are checked; what overflows FP32 is infinity, as the NaN policy expects."""
    if datatype is Datatype.FP32:  # half the time of np.array, and it converts without a word about infinity
        return np.frombuffer(machine_values("f", elements), datatype.dtype)
    try:
        return np.fromiter(elements, datatype.dtype, len(elements))
    except OverflowError:
        limits = np.iinfo(datatype.dtype.name)
        offender = next(item for item in elements if isinstance(item, int) and not limits.min <= item <= limits.max)
        reason = f"holds {offender}, {datatype} goes from {limits.min} to {limits.max}"
        raise InvalidInput(subject, reason) from None


def _strings(elements: list[object]) -> Array:
    array: Array = np.empty(len(elements), dtype=object)
    array[:] = [item if type(item) is bytes else str(item).encode() for item in elements]
    return array


def shaped(array: Array, shape: Sequence[int], subject: str) -> Array:
    """A flat array in another shape.

    Raises:
        InvalidInput: It has more or fewer elements, or no array can have that shape.
    """
    size = math.prod(shape)
    if array.size != size:
        raise InvalidInput(subject, f"has shape {list(shape)}, {size} elements, but its data has {array.size}")
    try:
        return array.reshape(shape)
    except ValueError:  # no elements, but lengths whose product is beyond what an array can have
        raise InvalidInput(subject, f"has shape {list(shape)}, which no array can have") from None
