"""The operations from one tensor of numbers to one, on whole arrays: what each gives, and what it gives it for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from serve_app.config.operations import (
    Argmax,
    Cast,
    Clip,
    Impute,
    L2Normalise,
    OneHot,
    Operation,
    Reshape,
    Scale,
    Softmax,
    Standardise,
    Transpose,
)
from serve_app.datatypes import Datatype
from serve_app.types import Array, TensorSpec

Apply = Callable[[Array], Array]
"""[n, ...] to as many rows."""


class Planned(NamedTuple):
    """An operation on a tensor whose signature is known.

    Attributes:
        spec: Of what it gives.
        apply: Does it; never changes its argument.
    """

    spec: TensorSpec
    apply: Apply


def planned(operation: Operation, spec: TensorSpec) -> Planned:
    """What an operation does with tensors of that signature.

    Raises:
        ValueError: It cannot take them; the message says what it takes.
    """
    plan: Callable[[Any, TensorSpec], Planned] = _PLANS[type(operation)]
    return plan(operation, spec)


def _cast(operation: Cast, spec: TensorSpec) -> Planned:
    if Datatype.BYTES in (operation.datatype, spec.datatype):
        raise ValueError(f"cast takes numbers, not {spec.datatype} to {operation.datatype}")
    if not operation.datatype.is_float:
        need_no_nan(f"cast to {operation.datatype}", spec)
    dtype = operation.datatype.dtype
    return Planned(replace(spec, datatype=operation.datatype), lambda x: x.astype(dtype))


def _scale(operation: Scale, spec: TensorSpec) -> Planned:
    need_floats("scale", spec)
    factor, offset = (spec.datatype.dtype.type(value) for value in (operation.factor, operation.offset))
    return Planned(spec, lambda x: x * factor + offset)


def _standardise(operation: Standardise, spec: TensorSpec) -> Planned:
    need_floats("standardise", spec)
    if len(operation.mean) not in (1, spec.shape[-1]) or len(spec.shape) < 2:
        raise ValueError(f"standardise has {len(operation.mean)} means for a last axis of {_last(spec)}")
    mean, std = (np.array(values, spec.datatype.dtype) for values in (operation.mean, operation.std))
    return Planned(spec, lambda x: (x - mean) / std)


def _clip(operation: Clip, spec: TensorSpec) -> Planned:
    need_floats("clip", spec)
    lowest, highest = (spec.datatype.dtype.type(value) for value in (operation.min, operation.max))
    return Planned(spec, lambda x: np.clip(x, lowest, highest))


def _reshape(operation: Reshape, spec: TensorSpec) -> Planned:
    have, want = spec.shape[1:], operation.shape
    if -1 in have or math.prod(have) != math.prod(want):
        raise ValueError(f"reshape to {list(want)} does not fit rows of shape {list(have)}")
    given = replace(spec, shape=(-1, *want), labels=spec.labels if want[-1:] == have[-1:] else ())
    return Planned(given, lambda x: x.reshape(len(x), *want))


def _softmax(operation: Softmax, spec: TensorSpec) -> Planned:
    need_floats("softmax", spec)
    need_axis("softmax", spec)

    def softmax(x: Array) -> Array:
        """Shifted by the largest, so that nothing overflows."""
        powers: Array = np.exp(x - x.max(axis=-1, keepdims=True))
        shares: Array = powers / powers.sum(axis=-1, keepdims=True)
        return shares

    return Planned(spec, softmax)


def _argmax(operation: Argmax, spec: TensorSpec) -> Planned:
    if spec.datatype is Datatype.BYTES:
        raise ValueError("argmax takes numbers, not BYTES")
    need_axis("argmax", spec)
    need_no_nan("argmax", spec)

    def argmax(x: Array) -> Array:
        """NumPy's index type is the platform's."""
        indices: Array = np.argmax(x, axis=-1).astype(np.int64)
        return indices

    return Planned(replace(spec, datatype=Datatype.INT64, shape=spec.shape[:-1]), argmax)


def _one_hot(operation: OneHot, spec: TensorSpec) -> Planned:
    if not spec.datatype.is_integer:
        raise ValueError(f"one_hot takes integers, not {spec.datatype}")
    classes = np.arange(operation.classes)
    shape = (*spec.shape, operation.classes)
    given = TensorSpec(spec.name, Datatype.FP32, shape, spec.labels)
    return Planned(given, lambda x: (x[..., None] == classes).astype(np.float32))


def _transpose(operation: Transpose, spec: TensorSpec) -> Planned:
    if len(operation.axes) != len(spec.shape) - 1:
        raise ValueError(f"transpose has {len(operation.axes)} axes for rows of shape {list(spec.shape[1:])}")
    axes = (0, *(axis + 1 for axis in operation.axes))
    labels = spec.labels if axes[-1] == len(axes) - 1 else ()
    given = replace(spec, shape=tuple(spec.shape[axis] for axis in axes), labels=labels)
    return Planned(given, lambda x: x.transpose(axes))


def _impute(operation: Impute, spec: TensorSpec) -> Planned:
    need_floats("impute", spec)
    if not spec.allow_nan:
        raise ValueError("impute has no effect: there can be no NaN without allow_nan: true at the graph's input")
    if len(operation.values) not in (1, _last(spec)):
        raise ValueError(f"impute has {len(operation.values)} values for a last axis of {_last(spec)}")
    with np.errstate(over="ignore"):
        values = np.array(operation.values, np.float64).astype(spec.datatype.dtype)
    if not np.isfinite(values).all():
        raise ValueError(f"impute has a value that is outside the range of {spec.datatype}")
    if len(values) == 1:
        values = values[0]  # which goes with rows that have no axis, too
    return Planned(replace(spec, allow_nan=False), lambda x: np.where(np.isfinite(x), x, values))


def _l2_normalise(operation: L2Normalise, spec: TensorSpec) -> Planned:
    need_floats("l2_normalise", spec)
    need_axis("l2_normalise", spec)
    dtype, wide = spec.datatype.dtype, wide_of(spec)

    def normalise(x: Array) -> Array:
        """Divided by the largest first, so that no square overflows."""
        y = x.astype(wide)
        most = np.abs(y).max(axis=-1, keepdims=True)
        y /= np.where(most > 0, most, 1)
        length = np.sqrt((y * y).sum(axis=-1, keepdims=True))
        return (y / np.where(length > 0, length, 1)).astype(dtype)

    return Planned(spec, normalise)


_PLANS: dict[type, Callable[[Any, TensorSpec], Planned]] = {
    Cast: _cast,
    Scale: _scale,
    Standardise: _standardise,
    Clip: _clip,
    Reshape: _reshape,
    Softmax: _softmax,
    Argmax: _argmax,
    OneHot: _one_hot,
    Transpose: _transpose,
    Impute: _impute,
    L2Normalise: _l2_normalise,
}


def need_floats(name: str, spec: TensorSpec) -> None:
    """Raise ValueError unless it is of floats."""
    if not spec.datatype.is_float:
        raise ValueError(f"{name} takes floats, not {spec.datatype}: cast before it")


def need_axis(name: str, spec: TensorSpec) -> None:
    """Raise ValueError unless its rows have an axis."""
    if len(spec.shape) < 2:
        raise ValueError(f"{name} goes along the last axis, and the rows of its input have none")


def need_no_nan(name: str, spec: TensorSpec) -> None:
    """Raise ValueError if it may have NaN."""
    if spec.allow_nan:
        raise ValueError(f"{name} takes no NaN, which the graph's input allows: impute before it")


def wide_of(spec: TensorSpec) -> np.dtype[np.generic]:
    """The dtype to compute in: float32 for what is narrower, else the tensor's own."""
    return np.dtype(np.float32) if spec.datatype.dtype.itemsize < 4 else spec.datatype.dtype


def _last(spec: TensorSpec) -> int:
    return spec.shape[-1] if len(spec.shape) > 1 else 1
