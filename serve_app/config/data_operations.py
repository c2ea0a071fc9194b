"""Operations of a transform on images and texts, and the operator's own function."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from serve_app.config.base import PositiveInt, StrictModel
from serve_app.config.tensors import BatchShape
from serve_app.datatypes import Datatype

MAX_SIDE = 8192
MAX_PIXELS = 2**26  # under the number at which Pillow itself begins to warn

Side = Annotated[PositiveInt, Field(le=MAX_SIDE)]


class DecodeImage(StrictModel):
    """JPEG or PNG bytes, [-1], to UINT8 pixels [-1, height, width, channels]; other sizes are resized, bilinear."""

    op: Literal["decode_image"]
    height: Side
    width: Side
    channels: Literal[1, 3] = Field(default=3, description="1 is grey, 3 is RGB; transparency is dropped.")
    max_pixels: PositiveInt = Field(
        default=2**24, le=MAX_PIXELS, description="Of the encoded image; a larger one is refused by its header."
    )


class Resize(StrictModel):
    """[-1, H, W, C] to [-1, height, width, C]; pixels are squares, their corners stay corners."""

    op: Literal["resize"]
    height: Side
    width: Side
    method: Literal["bilinear", "nearest"] = Field(
        default="bilinear", description="bilinear averages over all pixels where it shrinks, as Pillow does."
    )


class Tokenise(StrictModel):
    """UTF-8 texts, [-1], to INT64 `input_ids`, `attention_mask`, `token_type_ids`, as long as the batch's longest."""

    op: Literal["tokenise"]
    tokenizer: str = Field(min_length=1, description="Local path of a tokenizer.json (Hugging Face tokenizers).")
    max_length: PositiveInt = Field(le=2**20, description="Of tokens, special ones too; a longer text is cut.")

    @field_validator("tokenizer")
    @classmethod
    def _is_local(cls, tokenizer: str) -> str:
        if "://" in tokenizer:
            raise ValueError(f"must be a local path, not the URL {tokenizer!r}")
        return tokenizer


class Function(StrictModel):
    """What a function of the operator's own package gives for the arrays, which it must not write to."""

    op: Literal["function"]
    function: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", description="module:name")
    datatype: Datatype
    shape: BatchShape
    labels: tuple[str, ...] = ()
    allow_nan: bool = False
