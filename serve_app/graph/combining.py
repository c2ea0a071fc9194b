"""Several members' answers as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from serve_app.config.graph import EnsembleNode
from serve_app.datatypes import Datatype
from serve_app.types import Array, TensorSpec

Combine = Callable[[Sequence[Array], Sequence[int]], Array]
"""Answers, and which of the members gave them, to one."""


def uncombinable(method: str, spec: TensorSpec) -> str:
    """Why members of that kind cannot be combined so; empty if they can."""
    said = f"{spec.datatype} {list(spec.shape)}"
    if method == "vote" and (spec.datatype is not Datatype.INT64 or len(spec.shape) != 1):
        return f"vote takes a label a row, INT64 of shape [-1], not {said}"
    if method != "vote" and not spec.datatype.is_float:
        return f"{method} takes floats, not {spec.datatype}"
    if method == "stack" and len(spec.shape) < 2:
        return f"stack goes along the last axis, and the rows of {said} have none"
    return ""


def combining(node: EnsembleNode) -> Combine:
    """What an ensemble does with the members that answered."""
    weights = node.weights or (1.0,) * len(node.members)
    if node.method == "max":
        return lambda members, _: np.maximum.reduce(members)
    if node.method == "stack":
        return lambda members, _: np.concatenate(members, axis=-1)
    if node.method == "mean":
        return lambda members, used: np.average(
            np.stack(members), axis=0, weights=[weights[index] for index in used]
        ).astype(members[0].dtype)
    return lambda members, used: _most_voted(np.stack(members), np.array([weights[index] for index in used]))


def _most_voted(labels: Array, weights: Array) -> Array:
    """For each column of `labels` [members, n] the value whose members' weights sum to most, the lowest of equals."""
    values = np.unique(labels)
    votes = np.stack([weights @ (labels == value) for value in values])
    chosen: Array = values[votes.argmax(axis=0)]
    return chosen
