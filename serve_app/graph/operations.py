"""The operations of a transform node on whole arrays: what each gives, and what it gives it for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from serve_app.config.operations import Argmax, Cast, Clip, OneHot, Operation, Reshape, Scale, Softmax, Standardise
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
    dtype = operation.datatype.dtype
    return Planned(replace(spec, datatype=operation.datatype), lambda x: x.astype(dtype))


def _scale(operation: Scale, spec: TensorSpec) -> Planned:
    _need_floats("scale", spec)
    factor, offset = (spec.datatype.dtype.type(value) for value in (operation.factor, operation.offset))
    return Planned(spec, lambda x: x * factor + offset)


def _standardise(operation: Standardise, spec: TensorSpec) -> Planned:
    _need_floats("standardise", spec)
    if len(operation.mean) not in (1, spec.shape[-1]) or len(spec.shape) < 2:
        raise ValueError(f"standardise has {len(operation.mean)} means for a last axis of {_last(spec)}")
    mean, std = (np.array(values, spec.datatype.dtype) for values in (operation.mean, operation.std))
    return Planned(spec, lambda x: (x - mean) / std)


def _clip(operation: Clip, spec: TensorSpec) -> Planned:
    _need_floats("clip", spec)
    lowest, highest = (spec.datatype.dtype.type(value) for value in (operation.min, operation.max))
    return Planned(spec, lambda x: np.clip(x, lowest, highest))


def _reshape(operation: Reshape, spec: TensorSpec) -> Planned:
    have, want = spec.shape[1:], operation.shape
    if -1 in have or math.prod(have) != math.prod(want):
        raise ValueError(f"reshape to {list(want)} does not fit rows of shape {list(have)}")
    return Planned(replace(spec, shape=(-1, *want)), lambda x: x.reshape(len(x), *want))


def _softmax(operation: Softmax, spec: TensorSpec) -> Planned:
    _need_floats("softmax", spec)
    _need_axis("softmax", spec)

    def softmax(x: Array) -> Array:
        """Shifted by the largest, so that nothing overflows."""
        powers: Array = np.exp(x - x.max(axis=-1, keepdims=True))
        shares: Array = powers / powers.sum(axis=-1, keepdims=True)
        return shares

    return Planned(spec, softmax)


def _argmax(operation: Argmax, spec: TensorSpec) -> Planned:
    if spec.datatype is Datatype.BYTES:
        raise ValueError("argmax takes numbers, not BYTES")
    _need_axis("argmax", spec)

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


_PLANS: dict[type, Callable[[Any, TensorSpec], Planned]] = {
    Cast: _cast,
    Scale: _scale,
    Standardise: _standardise,
    Clip: _clip,
    Reshape: _reshape,
    Softmax: _softmax,
    Argmax: _argmax,
    OneHot: _one_hot,
}


def _need_floats(name: str, spec: TensorSpec) -> None:
    if not spec.datatype.is_float:
        raise ValueError(f"{name} takes floats, not {spec.datatype}: cast before it")


def _need_axis(name: str, spec: TensorSpec) -> None:
    if len(spec.shape) < 2:
        raise ValueError(f"{name} goes along the last axis, and the rows of its input have none")


def _last(spec: TensorSpec) -> int:
    return spec.shape[-1] if len(spec.shape) > 1 else 1
