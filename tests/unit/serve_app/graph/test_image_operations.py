"""Images: pixels by hand and against Pillow, and what is no image."""

from __future__ import annotations

import io
import zlib
from contextlib import suppress
from fractions import Fraction
from math import floor

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from serve_app.config.data_operations import DecodeImage, Resize
from serve_app.datatypes import Datatype
from serve_app.graph.image_operations import decode_image, resize
from serve_app.graph.links import UnfitRow
from serve_app.types import TensorSpec

PHOTO = TensorSpec("photo", Datatype.BYTES, (-1,))
GREY = np.array([[0, 255, 7], [1, 2, 3]], np.uint8)


def encoded(pixels, fmt="PNG", **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, fmt, **options)
    return stream.getvalue()


def decoded(*elements, height=2, width=3, **fields):
    operation = DecodeImage(op="decode_image", height=height, width=width, **fields)
    link = decode_image(operation, PHOTO)
    (images,) = link.load("n")([np.array(elements, object)])
    (spec,) = link.outputs
    assert (images.dtype, images.shape[1:]) == (spec.datatype.dtype, spec.shape[1:])
    return images


def test_pixels_of_a_png_are_its_own():
    assert decoded(encoded(GREY), channels=1)[0, ..., 0].tolist() == GREY.tolist()
    assert decoded(encoded(GREY))[0, 0].tolist() == [[0] * 3, [255] * 3, [7] * 3]


def test_images_of_any_mode_and_size_come_out_alike():
    colour = np.full((5, 9, 3), (200, 100, 50), np.uint8)
    clear = np.full((3, 3, 4), (200, 100, 50, 0), np.uint8)
    images = decoded(encoded(colour), encoded(clear), encoded(colour, "JPEG", quality=95))
    assert np.abs(images.astype(int) - (200, 100, 50)).max() <= 3
    deep = np.full((2, 3), 40000, np.uint16)
    assert set(decoded(encoded(deep), channels=1).ravel().tolist()) == {40000 // 256}


def test_a_warm_up_has_an_image_that_can_be_decoded():
    sample = decode_image(DecodeImage(op="decode_image", height=2, width=3), PHOTO).sample
    assert not decoded(sample).any()


@pytest.mark.parametrize(
    ("element", "says"),
    [
        (b"", "is no whole image in JPEG or PNG, 0 bytes"),
        (b"GIF89a" + bytes(20), "26 bytes: UnidentifiedImageError"),
        (encoded(GREY, "BMP"), "is no whole image in JPEG or PNG"),
        (encoded(GREY)[:-28], "is no whole image"),
        (encoded(np.zeros((11, 10), np.uint8)), "is an image of 10 x 11 pixels, the limit is 100"),
    ],
    ids=["empty", "another format", "a format not allowed", "cut", "too large"],
)
def test_what_is_no_image_is_refused_with_its_row(element, says):
    with pytest.raises(UnfitRow, match=says) as unfit:
        decoded(encoded(GREY), element, max_pixels=100)
    assert unfit.value.row == 1


def test_a_bomb_is_refused_by_its_header():
    header = bytearray(encoded(GREY))
    header[16:24] = (30000).to_bytes(4, "big") * 2  # IHDR: 900 million pixels in some 70 bytes
    checksum = zlib.crc32(bytes(header[12:29]))
    header[29:33] = checksum.to_bytes(4, "big")
    with pytest.raises(UnfitRow, match="is a larger image than the limit of 16777216 pixels"):
        decoded(bytes(header))


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=200), st.integers(0, 60))
def test_broken_bytes_are_nothing_but_unfit(noise, at):
    broken = bytearray(encoded(GREY))
    broken[at : at + len(noise)] = noise
    with suppress(UnfitRow):
        decoded(bytes(broken))


@pytest.mark.parametrize("spec", [TensorSpec("x", Datatype.BYTES, (-1, 1)), TensorSpec("x", Datatype.UINT8, (-1,))])
def test_decoding_takes_an_image_a_row(spec):
    with pytest.raises(ValueError, match=r"decode_image takes an image a row, BYTES \[-1\]"):
        decode_image(DecodeImage(op="decode_image", height=2, width=3), spec)


def resized(x, height, width, method="bilinear"):
    spec = TensorSpec("x", Datatype.FP32 if x.dtype == np.float32 else Datatype.UINT8, (-1, -1, -1, x.shape[3]))
    plan = resize(Resize(op="resize", height=height, width=width, method=method), spec)
    given = plan.apply(x)
    assert given.shape == (len(x), *plan.spec.shape[1:])
    assert given.dtype == x.dtype
    return given


def test_bilinear_between_two_pixels_by_hand():
    row = np.array([[[[0.0], [8.0]]]], np.float32)  # centres at 0.25, 0.75; the new ones at 0.125, 0.375, ...
    np.testing.assert_allclose(resized(row, 1, 4)[0, 0, :, 0], [0, 2, 6, 8])
    np.testing.assert_allclose(resized(row, 1, 1)[0, 0, :, 0], [4])


def test_nearest_takes_the_pixel_under_the_centre():
    row = np.arange(5, dtype=np.uint8).reshape(1, 1, 5, 1)
    assert resized(row, 1, 2, "nearest")[0, 0, :, 0].tolist() == [1, 3]  # 1.25 and 3.75
    assert resized(row, 2, 10, "nearest")[0, 1, :, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


SIDES = st.integers(1, 40)


@settings(deadline=None)  # the machine may be busy
@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 2**32 - 1))
def test_bilinear_is_pillows(old_height, old_width, height, width, seed):
    x = np.random.default_rng(seed).random((2, old_height, old_width, 1), np.float32)
    size, by = (width, height), Image.Resampling.BILINEAR
    theirs = [np.asarray(Image.fromarray(one[..., 0]).resize(size, by)) for one in x]
    np.testing.assert_allclose(resized(x, height, width)[..., 0], theirs, atol=1e-5)


@settings(deadline=None)  # the machine may be busy
@given(SIDES, SIDES)
def test_nearest_is_the_pixel_that_the_centre_is_in(old, new):
    x = np.arange(old, dtype=np.uint8).reshape(1, 1, old, 1)
    expected = [floor((at + Fraction(1, 2)) * old / new) for at in range(new)]
    assert resized(x, 1, new, "nearest").ravel().tolist() == expected


def test_uint8_is_rounded_and_channels_stay_apart():
    x = np.array([[[[0, 255], [3, 255]]]], np.uint8)
    assert resized(x, 1, 1).tolist() == [[[[2, 255]]]]  # 1.5, to even


def test_narrow_floats_are_computed_in_float32():
    spec = TensorSpec("x", Datatype.BF16, (-1, 1, 2, 1))
    given = resize(Resize(op="resize", height=1, width=1), spec).apply(np.ones((1, 1, 2, 1), ml_dtypes.bfloat16))
    assert (given.dtype, given.tolist()) == (ml_dtypes.bfloat16, [[[[1.0]]]])


@pytest.mark.parametrize(
    ("method", "datatype", "shape", "says"),
    [
        ("bilinear", Datatype.FP32, (-1, 8, 8), r"resize takes pixels \[-1, H, W, C\], not FP32 \[-1, 8, 8\]"),
        ("nearest", Datatype.BYTES, (-1, 8, 8, 1), "resize takes pixels"),
        ("bilinear", Datatype.INT64, (-1, 8, 8, 1), "takes floats or UINT8, not INT64: cast before it"),
    ],
)
def test_what_cannot_be_resized_is_said(method, datatype, shape, says):
    with pytest.raises(ValueError, match=says):
        resize(Resize(op="resize", height=2, width=2, method=method), TensorSpec("x", datatype, shape))
