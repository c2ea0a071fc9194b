"""Several tensors to one, by hand."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from serve_app.config.operations import Concat, MeanPool
from serve_app.datatypes import Datatype
from serve_app.errors import InvalidInput
from serve_app.graph.joining import concat, mean_pool
from serve_app.types import TensorSpec

CONCAT, POOL = Concat(op="concat"), MeanPool(op="mean_pool")
AGE = TensorSpec("age", Datatype.FP32, (-1,), allow_nan=True)
SIZES = TensorSpec("sizes", Datatype.FP32, (-1, 2), labels=("h", "w"))
TOKENS = TensorSpec("tokens", Datatype.FP32, (-1, -1, 2))
MASK = TensorSpec("mask", Datatype.INT64, (-1, -1))


def test_numbers_and_vectors_become_one_vector():
    link = concat(CONCAT, (AGE, SIZES, AGE))
    (spec,) = link.outputs
    (given,) = link.load("n")([np.float32([1, 2]), np.float32([[3, 4], [5, 6]]), np.float32([7, 8])])
    assert given.tolist() == [[1, 3, 4, 7], [2, 5, 6, 8]]
    assert (given.dtype, spec.shape, spec.labels, spec.allow_nan) == (np.float32, (-1, 4), (), True)


def test_free_axes_must_turn_out_to_be_as_long():
    link = concat(CONCAT, (TOKENS, TOKENS))
    assert link.outputs[0].shape == (-1, -1, 4)
    with pytest.raises(InvalidInput, match=r"other lengths: \[1, 3, 2\], \[1, 4, 2\]"):
        link.load("n")([np.zeros((1, 3, 2)), np.zeros((1, 4, 2))])


@pytest.mark.parametrize(
    ("specs", "says"),
    [
        ((AGE,), "concat takes several inputs"),
        ((SIZES, TOKENS), r"differ in the last axis only, not FP32 \[-1, 2\], FP32 \[-1, -1, 2\]"),
        ((SIZES, TensorSpec("x", Datatype.FP64, (-1, 2))), r"not FP32 \[-1, 2\], FP64 \[-1, 2\]"),
    ],
)
def test_what_cannot_be_joined_is_said(specs, says):
    with pytest.raises(ValueError, match=says):
        concat(CONCAT, specs)


@pytest.mark.parametrize("dtype", [np.int64, np.bool_, np.float32])
def test_the_mean_is_over_what_the_mask_has(dtype):
    link = mean_pool(POOL, (TOKENS, MASK))
    x = np.float32([[[1, 2], [3, 6], [100, 100]], [[1, 1], [2, 2], [3, 3]], [[9, 9], [9, 9], [9, 9]]])
    mask = np.array([[1, 1, 0], [1, 1, 1], [0, 0, 0]], dtype)
    (given,) = link.load("n")([x, mask])
    np.testing.assert_allclose(given, [[2, 4], [2, 2], [0, 0]])
    assert (given.dtype, link.outputs[0].shape) == (np.float32, (-1, 2))


def test_narrow_floats_are_summed_in_float32():
    spec = TensorSpec("tokens", Datatype.BF16, (-1, -1, 1))
    (given,) = mean_pool(POOL, (spec, MASK)).load("n")(
        [np.ones((1, 1000, 1), ml_dtypes.bfloat16), np.ones((1, 1000), np.int64)]
    )
    assert (given.dtype, given.tolist()) == (ml_dtypes.bfloat16, [[1.0]])


def test_a_mask_of_another_length_is_refused_and_not_spread():
    with pytest.raises(InvalidInput, match=r"other lengths: \[1, 3, 2\], \[1, 1\]"):
        mean_pool(POOL, (TOKENS, MASK)).load("n")([np.zeros((1, 3, 2), np.float32), np.ones((1, 1), np.int64)])


@pytest.mark.parametrize(
    ("specs", "says"),
    [
        ((TOKENS,), "takes two inputs, embeddings and their mask, not 1"),
        ((MASK, MASK), "mean_pool takes floats"),
        ((SIZES, MASK), r"takes embeddings \[-1, -1, D\] and a mask \[-1, -1\], not FP32 \[-1, 2\], INT64 \[-1, -1\]"),
        ((TOKENS, TensorSpec("m", Datatype.BYTES, (-1, -1))), "takes embeddings"),
        (
            (TensorSpec("t", Datatype.FP32, (-1, 4, 2)), TensorSpec("m", Datatype.INT64, (-1, 5))),
            "embeddings of 4 tokens and a mask of 5",
        ),
    ],
)
def test_what_cannot_be_pooled_is_said(specs, says):
    with pytest.raises(ValueError, match=says):
        mean_pool(POOL, specs)
