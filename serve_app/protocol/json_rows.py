"""Rows as people write them in JSON: read by the model's signature, and answers nested as their shapes are."""

from __future__ import annotations

import numpy as np

from serve_app.datatypes import datatype_of
from serve_app.errors import InvalidInput
from serve_app.protocol.json_tensor import from_array, to_array
from serve_app.types import Array, ReleaseInfo, TensorSpec


def only_input(info: ReleaseInfo, subject: str) -> TensorSpec:
    """The model's only input, for rows that come without a name.

    Raises:
        InvalidInput: It has several; the message says how to name the rows of each in `subject`.
    """
    if len(info.inputs) == 1:
        return info.inputs[0]
    names = ", ".join(spec.name for spec in info.inputs)
    raise InvalidInput(subject, f"must be an object with the rows of each of {names}")


def input_named(name: str, info: ReleaseInfo) -> TensorSpec:
    """The input called `name`.

    Raises:
        InvalidInput: The model has none of that name.
    """
    for spec in info.inputs:
        if spec.name == name:
            return spec
    names = ", ".join(spec.name for spec in info.inputs)
    raise InvalidInput(f"input {name[:40]!r}", f"is not one of {info.model}'s: {names}")


def tensors(value: object, info: ReleaseInfo, subject: str) -> dict[str, Array]:
    """Tensors from the rows of the only input, or from an object with the rows of each by name, as they are nested.

    Raises:
        InvalidInput: There is no such input, or its rows are not what the signature says.
    """
    if not isinstance(value, dict):
        value = {only_input(info, subject).name: value}
    specs = {name: input_named(name, info) for name in value}
    return {name: to_array(value[name], spec.datatype, None, f"input {name!r}") for name, spec in specs.items()}


def is_one_row(array: Array, spec: TensorSpec) -> bool:
    """Whether the array lacks the batch axis of its spec, and so is one row alone."""
    return array.ndim == len(spec.shape) - 1


def nested(array: Array, name: str) -> Array | list[object]:
    """The values of an output as something orjson writes, nested as its shape; NaN and infinity become null.

    Raises:
        InvalidInput: The datatype cannot travel as JSON, or a BYTES element is not UTF-8.
    """
    flat = from_array(array, datatype_of(array), name)
    return nested_objects(flat, array.shape) if isinstance(flat, list) else flat.reshape(array.shape)


def nested_objects(flat: list[object], shape: tuple[int, ...]) -> list[object]:
    """A flat list in row-major order as lists in lists of that shape, which has an axis at least."""
    objects = np.empty(len(flat), dtype=object)
    objects[:] = flat
    whole: list[object] = objects.reshape(shape).tolist()
    return whole
