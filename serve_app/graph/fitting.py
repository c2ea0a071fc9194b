"""Whether what one node gives is what another one takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from serve_app.config.graph import EnsembleNode
from serve_app.types import TensorSpec


def said(spec: TensorSpec) -> str:
    """A tensor's datatype and shape, as findings say them."""
    return f"{spec.datatype} {list(spec.shape)}"


def mismatch(reference: str, have: TensorSpec, want: TensorSpec) -> str:
    """Why a tensor cannot be a model's input; empty if it can."""
    fits = len(have.shape) == len(want.shape) and all(
        want_axis in (-1, have_axis) for have_axis, want_axis in zip(have.shape, want.shape, strict=True)
    )
    if have.datatype is want.datatype and fits:
        if have.allow_nan and not want.allow_nan:
            return f"{reference} may have NaN, the model's input {want.name!r} takes none: impute before it"
        return ""
    return f"{reference} is {said(have)}, but the model's input {want.name!r} is {said(want)}"


def other_outputs(one: tuple[str, tuple[TensorSpec, ...]], other: tuple[str, tuple[TensorSpec, ...]]) -> Sequence[str]:
    """Why what the other node gives cannot stand for what the first one does, by output.

    Args:
        one: The first node's name and outputs.
        other: The other's.
    """
    have = {spec.name: spec for spec in other[1]}
    different = []
    for spec in one[1]:
        same = have.get(spec.name)
        if same is None or (same.datatype, same.shape) != (spec.datatype, spec.shape):
            there = "nothing of that name" if same is None else said(same)
            different.append(f"{one[0]}.{spec.name} is {said(spec)}, {other[0]} has {there}")
    return different


def uncombined(node: EnsembleNode, members: Sequence[TensorSpec]) -> Sequence[tuple[int, str]]:
    """Which members of an ensemble do not fit the first one, by index, and why."""
    first, skip = members[0], 1 if node.method == "stack" else 0
    return [
        (index, f"{node.members[index]} is {said(spec)}, but {node.members[0]} is {said(first)}")
        for index, spec in enumerate(members)
        if (spec.datatype, spec.shape[: len(spec.shape) - skip])
        != (first.datatype, first.shape[: len(first.shape) - skip])
    ]


def combined(node: EnsembleNode, members: Sequence[TensorSpec], name: str) -> TensorSpec:
    """What an ensemble gives, under that name."""
    first = replace(members[0], name=name)
    if node.method != "stack":
        return first
    last = [spec.shape[-1] for spec in members]
    return replace(first, shape=(*first.shape[:-1], -1 if -1 in last else sum(last)), labels=())
