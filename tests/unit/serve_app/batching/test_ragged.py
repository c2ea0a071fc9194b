"""Texts of different lengths in one batch."""

from __future__ import annotations

import numpy as np
import pytest

from serve_app.batching.job import shapes_of
from serve_app.batching.ragged import Ragged, cut, length_of
from serve_app.config.release import RaggedConfig
from serve_app.errors import InvalidInput, TooLarge

CONFIG = RaggedConfig(lengths=(4, 8), pad={"ids": 7, "kinds": 0}, mask="mask")
RAGGED = Ragged(CONFIG, np.dtype(np.int64))


def texts(rows: int, length: int) -> dict:
    return {
        "ids": np.ones((rows, length), np.int64),
        "kinds": np.ones((rows, length, 2), np.int8),
        "user": np.ones(rows),
    }


def test_lengths_share_a_group_up_to_the_next_bucket():
    assert RAGGED.group(shapes_of(texts(1, 3))) == RAGGED.group(shapes_of(texts(2, 4)))
    assert RAGGED.group(shapes_of(texts(1, 5)))[1] == 8
    shapes, bucket = RAGGED.group(shapes_of(texts(1, 2)))
    assert dict((name, axes) for name, _, axes in shapes) == {"ids": (4,), "kinds": (4, 2), "user": ()}
    assert bucket == 4


def test_a_text_that_is_too_long_is_named_with_the_limit():
    with pytest.raises(TooLarge, match="axis 1 of the inputs has 9 elements, the limit is 8"):
        RAGGED.group(shapes_of(texts(1, 9)))


def test_inputs_of_one_request_must_agree_on_the_length():
    wrong = texts(1, 3) | {"kinds": np.ones((1, 2, 2), np.int8)}
    with pytest.raises(InvalidInput, match="has length"):
        RAGGED.group(shapes_of(wrong))


def test_padding_has_its_value_and_the_mask_tells_it_from_data():
    padded = RAGGED.pad(texts(2, 3), 4)
    assert padded["ids"].tolist() == [[1, 1, 1, 7]] * 2
    assert padded["kinds"][0].tolist() == [[1, 1], [1, 1], [1, 1], [0, 0]]
    assert padded["mask"].tolist() == [[1, 1, 1, 0]] * 2
    assert padded["mask"].dtype == np.int64
    assert padded["user"].tolist() == [1, 1]


def test_without_a_mask_none_is_made():
    ragged = Ragged(RaggedConfig(lengths=(4,), pad={"ids": 0}))
    assert set(ragged.pad({"ids": np.ones((1, 2))}, 4)) == {"ids"}


def test_outputs_lose_what_padding_added_and_nothing_else():
    outputs = {"tokens": np.ones((2, 4)), "label": np.ones(2), "other": np.ones((2, 9))}
    shapes = {name: array.shape for name, array in cut(outputs, frozenset(outputs), 3, 4).items()}
    assert shapes == {"tokens": (2, 3), "label": (2,), "other": (2, 9)}
    assert cut(outputs, frozenset(outputs), 4, 4) is outputs


def test_a_blocks_length_is_that_of_its_padded_inputs():
    assert length_of(RAGGED, texts(2, 3)) == 3
