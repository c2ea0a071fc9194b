"""A model's inputs and outputs, as the artifact itself tells them."""

from __future__ import annotations

from dataclasses import dataclass

from serve_app.config.tensors import TensorConfig
from serve_app.datatypes import Datatype


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives, in the artifact's order.

    Attributes:
        fixed_rows: Rows that every execution has, where the artifact fixes them.
    """

    inputs: tuple[TensorConfig, ...]
    outputs: tuple[TensorConfig, ...]
    fixed_rows: int | None = None


def tensor(name: str, datatype: Datatype, shape: tuple[int, ...], source: str | None = None) -> TensorConfig:
    """A tensor of a signature; axis 0 becomes the batch axis (-1) whatever its length in the artifact."""
    return TensorConfig(name=name, datatype=datatype, shape=(-1, *shape[1:]), source=source)
