"""Operations that a graph's transform is a chain of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from serve_app.config.base import Integer, Number, PositiveFloat, PositiveInt, StrictModel
from serve_app.config.data_operations import DecodeImage, Function, Resize, Tokenise
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


class Transpose(StrictModel):
    """The axes behind the batch axis in another order: [2, 0, 1] makes channels first of [-1, H, W, C]."""

    op: Literal["transpose"]
    axes: tuple[Annotated[Integer, Field(ge=0)], ...] = Field(
        min_length=1, description="Counted from 0 without the batch axis."
    )

    @model_validator(mode="after")
    def _has_each_once(self) -> Transpose:
        if sorted(self.axes) != list(range(len(self.axes))):
            raise ValueError(f"axes must have each of 0 to {len(self.axes) - 1} once, not be {list(self.axes)}")
        return self


class Impute(StrictModel):
    """A value in place of NaN and infinity; for inputs with `allow_nan`."""

    op: Literal["impute"]
    values: tuple[Annotated[Number, Field(allow_inf_nan=False)], ...] = Field(
        min_length=1, description="One, or one for each element of the last axis."
    )


class L2Normalise(StrictModel):
    """The last axis divided by its Euclidean length; one of zeros stays."""

    op: Literal["l2_normalise"]


class Concat(StrictModel):
    """Several inputs one behind the other along the last axis; [-1] counts as [-1, 1]."""

    op: Literal["concat"]


class MeanPool(StrictModel):
    """Of embeddings [-1, -1, D] and a mask [-1, -1] the mean of those that the mask has, [-1, D]; of none zeros."""

    op: Literal["mean_pool"]


class TopK(StrictModel):
    """The k largest of [-1, C]: INT64 `indices`, `scores`, and `labels` where it has any; the first of equals first."""

    op: Literal["top_k"]
    k: PositiveInt


Operation = Annotated[
    Cast
    | Scale
    | Standardise
    | Clip
    | Reshape
    | Softmax
    | Argmax
    | OneHot
    | Transpose
    | Impute
    | L2Normalise
    | Concat
    | MeanPool
    | TopK
    | DecodeImage
    | Resize
    | Tokenise
    | Function,
    Field(discriminator="op"),
]
