"""Operations on images: encoded ones to pixels, and pixels to another size."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from typing import Any

import numpy as np

from serve_app.config.data_operations import DecodeImage, Resize
from serve_app.datatypes import Datatype
from serve_app.graph.links import Link, UnfitRow, Work, library
from serve_app.graph.operations import Planned, wide_of
from serve_app.types import Array, TensorSpec

SAMPLE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
"""A PNG of one black pixel."""

FORMATS = ("JPEG", "PNG")


def decode_image(operation: DecodeImage, spec: TensorSpec) -> Link:
    """Encoded images to pixels."""
    if spec.datatype is not Datatype.BYTES or len(spec.shape) != 1:
        raise ValueError(f"decode_image takes an image a row, BYTES [-1], not {spec.datatype} {list(spec.shape)}")
    shape = (-1, operation.height, operation.width, operation.channels)
    given = TensorSpec(spec.name, Datatype.UINT8, shape)
    return Link((given,), lambda node: _decoding(operation, library("PIL.Image", "image", node)), SAMPLE)


def _decoding(operation: DecodeImage, pillow: Any) -> Work:  # noqa: ANN401 imported only here
    def decode(elements: Array) -> Array:
        """One after the other, so that only one is there in full size."""
        images = np.empty((len(elements), operation.height, operation.width, operation.channels), np.uint8)
        for row, element in enumerate(elements):
            try:
                images[row] = _pixels(element, operation, pillow)
            except UnfitRow as unfit:
                raise UnfitRow(row, unfit.reason) from None
        return images

    return lambda arrays: (decode(arrays[0]),)


def _pixels(element: bytes, operation: DecodeImage, pillow: Any) -> Array:  # noqa: ANN401 as above
    """[height, width, channels] of one image.

    Raises:
        UnfitRow: It is none, or too large; nothing of a larger one than allowed is decoded.
    """
    try:
        with pillow.open(io.BytesIO(element), formats=FORMATS) as image:
            if image.width * image.height > operation.max_pixels:
                raise UnfitRow(
                    0, f"is an image of {image.width} x {image.height} pixels, the limit is {operation.max_pixels}"
                )
            decoded = _eight_bits(image, pillow).convert("L" if operation.channels == 1 else "RGB")
    except UnfitRow:
        raise
    except (pillow.DecompressionBombError, pillow.DecompressionBombWarning):
        raise UnfitRow(0, f"is a larger image than the limit of {operation.max_pixels} pixels") from None
    except Exception as error:  # a decoder meets broken bytes with errors of many kinds
        reason = f"is no whole image in {' or '.join(FORMATS)}, {len(element)} bytes: {type(error).__name__}"
        raise UnfitRow(0, reason) from None
    if decoded.size != (operation.width, operation.height):
        decoded = decoded.resize((operation.width, operation.height), pillow.Resampling.BILINEAR)
    return np.asarray(decoded).reshape(operation.height, operation.width, operation.channels)


def _eight_bits(image: Any, pillow: Any) -> Any:  # noqa: ANN401 as above
    """Grey of 16 bits would be cut at 255 by the library's own conversion."""
    if not image.mode.startswith("I"):
        return image
    return pillow.fromarray((np.asarray(image) // 256).astype(np.uint8))


def resize(operation: Resize, spec: TensorSpec) -> Planned:
    """Pixels to another size."""
    if spec.datatype is Datatype.BYTES or len(spec.shape) != 4:
        raise ValueError(f"resize takes pixels [-1, H, W, C], not {spec.datatype} {list(spec.shape)}")
    given = replace(spec, shape=(-1, operation.height, operation.width, spec.shape[3]))
    if operation.method == "nearest":
        return Planned(given, lambda x: _nearest(x, operation.height, operation.width))
    if not (spec.datatype.is_float or spec.datatype is Datatype.UINT8):
        raise ValueError(f"resize by bilinear takes floats or UINT8, not {spec.datatype}: cast before it")
    return Planned(given, lambda x: _bilinear(x, operation.height, operation.width, wide_of(spec)))


def _nearest(x: Array, height: int, width: int) -> Array:
    """The old pixel under each new one's centre, (i + 1/2) * old / new, in whole numbers."""
    rows, columns = (
        (2 * np.arange(want) + 1) * have // (2 * want) for want, have in ((height, x.shape[1]), (width, x.shape[2]))
    )
    return x[:, rows[:, None], columns]


def _bilinear(x: Array, height: int, width: int, wide: np.dtype[np.generic]) -> Array:
    y = _along(_along(x, 1, height, wide), 2, width, wide)
    if x.dtype == np.uint8:
        y = np.clip(np.rint(y), 0, 255)
    resized: Array = y.astype(x.dtype)
    return resized


def _along(x: Array, axis: int, want: int, wide: np.dtype[np.generic]) -> Array:
    """One axis of [n, H, W, C] at another length: a sum over a new pixel's few old ones, for all images at once."""
    places, weights = _taps(x.shape[axis], want)
    shape = [want if other == axis else 1 for other in range(x.ndim)]
    parts = (
        x.take(places[:, tap], axis) * weights[:, tap].astype(wide).reshape(shape) for tap in range(weights.shape[1])
    )
    total: Array = next(parts)
    for part in parts:
        total += part
    return total


def _taps(have: int, want: int) -> tuple[Array, Array]:
    """[want, taps]: which old pixels a new one is made of, and their shares.

    A triangle around the new pixel's centre, which reaches as far as the larger of a new and an old pixel is wide.
    """
    scale = have / want
    reach = max(scale, 1.0)
    centres = ((np.arange(want) + 0.5) * scale)[:, None]
    places = np.floor(centres - reach).astype(np.int64) + np.arange(int(np.ceil(2 * reach)) + 1)
    weights = np.clip(1 - np.abs(places + 0.5 - centres) / reach, 0, None)
    weights[(places < 0) | (places >= have)] = 0
    return np.clip(places, 0, have - 1), weights / weights.sum(axis=1, keepdims=True)
