"""Operations from several tensors to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from serve_app.config.operations import Concat, MeanPool
from serve_app.datatypes import Datatype
from serve_app.errors import InvalidInput
from serve_app.graph.fitting import said
from serve_app.graph.links import Link, ready
from serve_app.graph.operations import need_floats, wide_of
from serve_app.types import Array, TensorSpec


def concat(operation: Concat, specs: Sequence[TensorSpec]) -> Link:
    """One behind the other along the last axis."""
    if len(specs) < 2:
        raise ValueError("concat takes several inputs, not one")
    shapes = [spec.shape if len(spec.shape) > 1 else (-1, 1) for spec in specs]
    for spec, shape in zip(specs, shapes, strict=True):
        if spec.datatype is not specs[0].datatype or shape[:-1] != shapes[0][:-1]:
            raise ValueError(f"concat takes tensors that differ in the last axis only, not {_all_said(specs)}")
    last = [shape[-1] for shape in shapes]
    given = TensorSpec(
        specs[0].name,
        specs[0].datatype,
        (*shapes[0][:-1], -1 if -1 in last else sum(last)),
        allow_nan=any(spec.allow_nan for spec in specs),
    )

    def join(arrays: Sequence[Array]) -> tuple[Array, ...]:
        """A number a row is an axis of one."""
        parts = [array if array.ndim > 1 else array[:, None] for array in arrays]
        _check_alike(parts, [part.shape[:-1] for part in parts])
        return (np.concatenate(parts, axis=-1),)

    return ready(join, given)


def mean_pool(operation: MeanPool, specs: Sequence[TensorSpec]) -> Link:
    """The mean over axis 1 of what the mask has."""
    if len(specs) != 2:
        raise ValueError(f"mean_pool takes two inputs, embeddings and their mask, not {len(specs)}")
    embeddings, mask = specs
    need_floats("mean_pool", embeddings)
    if len(embeddings.shape) != 3 or len(mask.shape) != 2 or mask.datatype is Datatype.BYTES:
        raise ValueError(f"mean_pool takes embeddings [-1, -1, D] and a mask [-1, -1], not {_all_said(specs)}")
    if -1 not in (have := (embeddings.shape[1], mask.shape[1])) and have[0] != have[1]:
        raise ValueError(f"mean_pool has embeddings of {have[0]} tokens and a mask of {have[1]}")
    dtype, wide = embeddings.datatype.dtype, wide_of(embeddings)

    def pool(arrays: Sequence[Array]) -> tuple[Array, ...]:
        """A sum of products, without masked copies of the embeddings."""
        x, weights = arrays[0].astype(wide, copy=False), arrays[1].astype(wide)
        _check_alike(arrays, [x.shape[:2], weights.shape])
        total = (weights[:, None, :] @ x)[:, 0]
        count = weights.sum(axis=1, keepdims=True)
        return ((total / np.where(count > 0, count, 1)).astype(dtype),)

    shape = (-1, embeddings.shape[2])
    return ready(pool, replace(embeddings, shape=shape))


def _check_alike(arrays: Sequence[Array], axes: Sequence[tuple[int, ...]]) -> None:
    """Raise unless free axes turned out to be as long."""
    if any(one != axes[0] for one in axes):
        shapes = ", ".join(str(list(array.shape)) for array in arrays)
        raise InvalidInput("tensors", f"that belong together have other lengths: {shapes}")


def _all_said(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(map(said, specs))
