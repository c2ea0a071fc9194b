"""Operations that a graph's transform is a chain of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from serve_app.config.base import Number, PositiveFloat, PositiveInt, StrictModel
from serve_app.datatypes import Datatype


class Cast(StrictModel):
    """To another datatype; what does not fit wraps or is cut as NumPy does it."""

    op: Literal["cast"]
    datatype: Datatype


class Scale(StrictModel):
    """`x * factor + offset`."""

    op: Literal["scale"]
    factor: Number = 1.0
    offset: Number = 0.0


class Standardise(StrictModel):
    """`(x - mean) / std` by the last axis, with statistics of the training data."""

    op: Literal["standardise"]
    mean: tuple[Number, ...] = Field(min_length=1)
    std: tuple[PositiveFloat, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _as_many(self) -> Standardise:
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} numbers and std {len(self.std)}")
        return self


class Clip(StrictModel):
    """To an interval."""

    op: Literal["clip"]
    min: Number
    max: Number

    @model_validator(mode="after")
    def _is_an_interval(self) -> Clip:
        if self.min > self.max:
            raise ValueError(f"min {self.min:g} is over max {self.max:g}")
        return self


class Reshape(StrictModel):
    """To other axes behind the batch axis; as many elements."""

    op: Literal["reshape"]
    shape: tuple[PositiveInt, ...] = Field(description="Without the batch axis.")


class Softmax(StrictModel):
    """Over the last axis."""

    op: Literal["softmax"]


class Argmax(StrictModel):
    """The INT64 index of the largest along the last axis, the first of equals."""

    op: Literal["argmax"]


class OneHot(StrictModel):
    """FP32 vectors with a 1 at each integer; an integer that is no class is all zeros."""

    op: Literal["one_hot"]
    classes: PositiveInt


Operation = Annotated[
    Cast | Scale | Standardise | Clip | Reshape | Softmax | Argmax | OneHot, Field(discriminator="op")
]
