"""Tensors as manifests and graphs declare them, and rows with known answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from serve_app.config.base import NO_BOOLEAN, Integer, Number, StrictModel
from serve_app.datatypes import Datatype
from serve_app.types import TensorSpec

TensorName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Tolerance = Annotated[Number, Field(ge=0, allow_inf_nan=False), NO_BOOLEAN]


def _has_batch_axis(shape: tuple[int, ...]) -> tuple[int, ...]:
    if shape[0] != -1:
        raise ValueError(f"axis 0 is the batch axis and must be -1, not {shape[0]}")
    if any(axis == 0 or axis < -1 for axis in shape):
        raise ValueError(f"axes are -1 (any length) or at least 1, not {list(shape)}")
    return shape


BatchShape = Annotated[
    tuple[Integer, ...],
    Field(min_length=1, description="Axis 0 is the batch axis and must be -1."),
    AfterValidator(_has_batch_axis),
]


class TensorConfig(StrictModel):
    """One input or output."""

    name: TensorName
    datatype: Datatype
    shape: BatchShape
    source: str | None = Field(
        default=None,
        description="The artifact's own name for it where that differs: an ONNX input or output, "
        "a scikit-learn method such as predict_proba.",
    )
    labels: tuple[str, ...] = ()
    allow_nan: bool = False

    @property
    def spec(self) -> TensorSpec:
        """The tensor as the rest of the core knows it."""
        return TensorSpec(self.name, self.datatype, self.shape, self.labels, self.allow_nan)


class GoldenConfig(StrictModel):
    """Inputs whose outputs are known; a version that answers otherwise never becomes ready."""

    inputs: Mapping[TensorName, list[Any]] = Field(min_length=1, description="Nested rows by input name.")
    outputs: Mapping[TensorName, list[Any]] = Field(min_length=1, description="Nested rows by output name.")
    atol: Tolerance = 1e-4
    rtol: Tolerance = 1e-3
