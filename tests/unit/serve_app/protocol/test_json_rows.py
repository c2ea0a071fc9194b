"""Rows as people write them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import orjson
import pytest
from support.arithmetic import INFO

from serve_app.datatypes import Datatype
from serve_app.errors import InvalidInput
from serve_app.protocol.json_rows import input_named, is_one_row, nested, nested_objects, only_input, tensors
from serve_app.types import TensorSpec

TWO = replace(INFO, inputs=(TensorSpec("a", Datatype.FP32, (-1,)), TensorSpec("b", Datatype.BYTES, (-1,))))


def test_rows_without_a_name_are_the_only_inputs():
    assert only_input(INFO, "'input'").name == "x"
    assert tensors([[1, 2, 3]], INFO, "'input'")["x"].tolist() == [[1, 2, 3]]
    with pytest.raises(InvalidInput, match=r"^'input' must be an object with the rows of each of a, b$"):
        tensors([1], TWO, "'input'")


def test_rows_of_several_inputs_come_by_name():
    found = tensors({"b": ["x", "y"], "a": [1, 2]}, TWO, "'input'")
    assert (found["a"].tolist(), found["b"].tolist()) == ([1, 2], [b"x", b"y"])
    with pytest.raises(InvalidInput, match=r"^input 'c' is not one of arithmetic's: a, b$"):
        input_named("c", TWO)


def test_one_row_alone_lacks_the_batch_axis():
    assert is_one_row(np.zeros(3), INFO.inputs[0])
    assert not is_one_row(np.zeros((1, 3)), INFO.inputs[0])


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[0.5, np.nan]], np.float32), b"[[0.5,null]]"),
        (np.arange(6, dtype=np.int8).reshape(2, 3)[:, ::2], b"[[0,2],[3,5]]"),
        (np.array([[b"a"], [b"b"]], object), b'[["a"],["b"]]'),
        (np.empty((2, 0), object), b"[[],[]]"),
    ],
)
def test_answers_are_nested_as_their_shapes(array, expected):
    assert orjson.dumps(nested(array, "y"), option=orjson.OPT_SERIALIZE_NUMPY) == expected


def test_lists_and_objects_may_be_nested_too():
    assert nested_objects([{"n": 1}, [2], 3, 4], (2, 2)) == [[{"n": 1}, [2]], [3, 4]]
