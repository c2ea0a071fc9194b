"""Checks a request against the model's signature before any hop, so that a bad one costs microseconds."""

from __future__ import annotations

import math
from typing import NoReturn

import numpy as np

from serve_app.datatypes import datatype_of
from serve_app.errors import InvalidInput, TooLarge
from serve_app.types import Array, InferenceRequest, ReleaseInfo, TensorSpec

_SQUARED = frozenset({np.dtype(np.float32), np.dtype(np.float64)})
"""Floats whose sum of squares is fast; it is finite only if all are (not only if: large ones are looked at singly)."""


def validate(request: InferenceRequest, info: ReleaseInfo, max_rows: int) -> None:
    """Raise unless the release can execute the request.

    Args:
        request: A decoded request.
        info: The chosen release's signature.
        max_rows: Most rows one request may have.

    Raises:
        InvalidInput: A name, datatype, shape or value that the signature does not have; it is named.
        TooLarge: More rows than `max_rows`, or than the release's queue could ever hold.
    """
    inputs = request.inputs
    if len(inputs) != len(info.inputs):
        _refuse_names(request, info)
    for spec in info.inputs:
        if spec.name not in inputs:
            _refuse_names(request, info)
        if type(inputs[spec.name]) is not np.ndarray:  # from a Python handle; nothing else can be one
            kind = type(inputs[spec.name]).__name__
            raise InvalidInput(f"input {spec.name!r}", f"is {kind}, a NumPy array is expected")
    rows = request.rows
    if rows > max_rows or rows > info.max_queue_rows:
        raise TooLarge("the request", rows, min(max_rows, info.max_queue_rows), "rows")
    for spec in info.inputs:
        _check_tensor(spec, inputs[spec.name], rows)
    if request.outputs:
        _check_outputs(request.outputs, info)


def _check_outputs(names: tuple[str, ...], info: ReleaseInfo) -> None:
    known = [spec.name for spec in info.outputs]
    for name in names:
        if name not in known:
            raise InvalidInput(f"output {name[:128]!r}", f"is not one of {info.model}'s: {', '.join(known)}")


def _refuse_names(request: InferenceRequest, info: ReleaseInfo) -> NoReturn:
    wanted = [spec.name for spec in info.inputs]
    for name in request.inputs:
        if name not in wanted:
            raise InvalidInput(f"input {name[:128]!r}", f"is not one of {info.model}'s: {', '.join(wanted)}")
    missing = [name for name in wanted if name not in request.inputs]
    raise InvalidInput(f"input {missing[0]!r}", "is missing")


def _check_tensor(spec: TensorSpec, array: Array, rows: int) -> None:
    dtype = spec.datatype.dtype
    is_usual = dtype in _SQUARED and array.dtype == dtype and array.shape == (rows, *spec.shape[1:])
    if is_usual and rows and math.isfinite(np.vdot(array, array)):
        return  # what nearly every tensor is, at a third of the cost of the checks that name a fault
    subject = f"input {spec.name!r}"
    if array.dtype != dtype:
        raise InvalidInput(subject, f"has datatype {datatype_of(array)}, {spec.datatype} is expected")
    if array.ndim != len(spec.shape) or any(
        want not in (-1, have) for want, have in zip(spec.shape, array.shape, strict=True)
    ):
        raise InvalidInput(subject, f"has shape {list(array.shape)}, {list(spec.shape)} is expected")
    if array.shape[0] != rows or rows == 0:
        reason = (
            f"has {array.shape[0]} rows, the first input has {rows}" if rows else "has 0 rows, at least 1 is needed"
        )
        raise InvalidInput(subject, reason)
    if spec.datatype.is_float and not spec.allow_nan and not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))[0]
        value = float(array[tuple(bad)])
        raise InvalidInput(subject, f"has {value} at {bad.tolist()}; this model takes finite numbers only")
    if array.dtype == object and not all(isinstance(item, bytes) for item in array.ravel()):
        raise InvalidInput(subject, "must hold bytes in each of its elements")
