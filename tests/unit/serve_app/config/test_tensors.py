"""Tensors as files declare them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from serve_app.config.tensors import GoldenConfig, TensorConfig
from serve_app.datatypes import Datatype
from serve_app.types import TensorSpec


def test_a_tensor_is_known_to_the_core_by_its_spec():
    config = TensorConfig.model_validate({"name": "x", "datatype": "FP32", "shape": [-1, 2], "labels": ["a", "b"]})
    assert config.spec == TensorSpec("x", Datatype.FP32, (-1, 2), ("a", "b"))


@pytest.mark.parametrize(("shape", "says"), [([2, 2], "axis 0 is the batch axis"), ([-1, 0], "at least 1"), ([], "1")])
def test_shapes_that_cannot_be(shape, says):
    with pytest.raises(ValidationError, match=says):
        TensorConfig.model_validate({"name": "x", "datatype": "FP32", "shape": shape})


def test_golden_rows_have_inputs_and_outputs():
    with pytest.raises(ValidationError, match="outputs"):
        GoldenConfig.model_validate({"inputs": {"x": [1]}, "outputs": {}})
