"""Rows of different lengths in one batch of a graph, with models that say what they were given."""

from __future__ import annotations

import numpy as np
import pytest

from serve_app.config.release import RaggedConfig
from serve_app.datatypes import Datatype
from serve_app.errors import InvalidInput, TooLarge, WrongAnswer
from serve_app.graph.by_length import ByLength
from serve_app.types import TensorSpec

RAGGED = RaggedConfig(lengths=(2, 4, 8), pad={"ids": 9}, mask="mask")
STATES = TensorSpec("states", Datatype.INT64, (-1, -1))
SUM = TensorSpec("sum", Datatype.INT64, (-1,))


class Recording:
    """Ten times each id as `states`, and the sum of the ids that the mask has."""

    def __init__(self) -> None:
        self.given: list[dict[str, list]] = []

    def __call__(self, inputs):
        self.given.append({name: array.tolist() for name, array in inputs.items()})
        return {"states": 10 * inputs["ids"], "sum": (inputs["ids"] * inputs["mask"]).sum(axis=1)}


def padded(*rows: list[int], width: int) -> dict[str, np.ndarray]:
    """Ids with 7 behind them, which no model must see, and their mask."""
    ids, mask = np.full((len(rows), width), 7), np.zeros((len(rows), width), np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row)], mask[index, : len(row)] = row, 1
    return {"ids": ids, "mask": mask}


def node(execute, *outputs: TensorSpec, ragged: RaggedConfig = RAGGED) -> ByLength:
    return ByLength(execute, ragged, outputs or (STATES, SUM), "g node m")


def test_each_group_is_cut_to_its_length_and_rows_come_back_in_their_order():
    model = Recording()
    answer = node(model).predict(padded([1, 2, 3], [4], [5, 6, 1, 1], [8, 1], width=5))
    assert model.given == [
        {"ids": [[4, 7], [8, 1]], "mask": [[1, 0], [1, 1]]},
        {"ids": [[1, 2, 3, 7], [5, 6, 1, 1]], "mask": [[1, 1, 1, 0], [1, 1, 1, 1]]},
    ]
    assert answer["sum"].tolist() == [6, 4, 13, 9]
    assert answer["states"].tolist() == [[10, 20, 30, 70, 0], [40, 70, 0, 0, 0], [50, 60, 10, 10, 0], [80, 10, 0, 0, 0]]


def test_a_batch_narrower_than_a_length_is_padded_to_it_and_cut_again():
    model = Recording()
    answer = node(model).predict(padded([1, 2, 3], width=3))
    assert model.given == [{"ids": [[1, 2, 3, 9]], "mask": [[1, 1, 1, 0]]}]
    assert answer["states"].tolist() == [[10, 20, 30]]


def test_a_row_without_anything_has_the_shortest_length():
    model = Recording()
    node(model).predict(padded([], [1, 2, 3, 4, 5], width=5))
    assert [len(group["mask"][0]) for group in model.given] == [2, 8]


def test_a_length_ends_with_the_last_of_the_mask_whatever_is_left_out_before():
    model = Recording()
    inputs = padded([1, 2, 3], width=8)
    inputs["mask"][0, 1] = 0
    assert node(model).predict(inputs)["sum"].tolist() == [4]
    assert len(model.given[0]["ids"][0]) == 4


def test_an_input_that_is_not_ragged_goes_along_with_its_rows():
    def weigh(inputs):
        return {"sum": (inputs["ids"] * inputs["mask"]).sum(axis=1) * inputs["factor"]}

    inputs = {**padded([1, 2, 3], [4], width=3), "factor": np.array([1, 100])}
    assert node(weigh, SUM).predict(inputs)["sum"].tolist() == [6, 400]


def test_without_a_mask_rows_are_as_long_as_they_come():
    ragged = RaggedConfig(lengths=(4,), pad={"ids": 9})
    model = ByLength(lambda inputs: {"states": inputs["ids"]}, ragged, (STATES,), "g node m")
    assert model.predict({"ids": np.array([[1, 2, 3]])})["states"].tolist() == [[1, 2, 3]]


def test_an_output_of_another_length_is_something_else_and_left_as_it_is():
    pair = TensorSpec("pair", Datatype.INT64, (-1, -1))
    answer = node(lambda inputs: {"pair": inputs["ids"][:, :1] * [1, 2, 3]}, pair).predict(
        padded([4], [1] * 6, width=6)
    )
    assert answer["pair"].tolist() == [[4, 8, 12], [1, 2, 3]]


def test_bytes_are_filled_with_empty_ones():
    words = TensorSpec("words", Datatype.BYTES, (-1, -1))
    answer = node(lambda inputs: {"words": inputs["ids"].astype("S").astype(object)}, words).predict(
        padded([4], [1] * 3, width=3)
    )
    assert answer["words"].tolist() == [[b"4", b"7", b""], [b"1", b"1", b"1"]]


def test_a_row_that_is_too_long_is_named_with_the_limit():
    with pytest.raises(TooLarge, match="axis 1 of the inputs of g node m has 9 elements, the limit is 8"):
        node(Recording()).predict(padded([1] * 9, width=9))
    assert node(Recording()).predict(padded([1], width=9))["sum"].tolist() == [1]


def test_inputs_must_agree_on_the_length():
    wrong = padded([1, 2], width=4) | {"mask": np.ones((1, 3), np.int64)}
    with pytest.raises(InvalidInput, match="input 'mask' of g node m has length 3 along axis 1, 'ids' 4"):
        node(Recording()).predict(wrong)


def test_groups_whose_rows_have_other_axes_are_a_wrong_answer():
    odd = TensorSpec("odd", Datatype.INT64, (-1, -1))
    with pytest.raises(WrongAnswer, match=r"output 'odd' has rows of shapes \[1\], \[3\]"):
        node(lambda inputs: {"odd": inputs["ids"][:, 1:]}, odd).predict(padded([4], [1] * 3, width=3))


def test_rows_without_any_length_are_padded_to_the_shortest():
    model = Recording()
    answer = node(model, SUM).predict(padded([], [], width=0))
    assert answer["sum"].tolist() == [0, 0]
    assert [given["ids"] for given in model.given] == [[[9, 9], [9, 9]]]
