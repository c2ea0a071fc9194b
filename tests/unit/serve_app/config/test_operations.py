"""Operations as YAML declares them: what a chain refuses."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from serve_app.config.operations import Operation

OPERATION = TypeAdapter(Operation)


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"op": "clip", "min": 2, "max": 1}, "min 2 is over max 1"),
        ({"op": "standardise", "mean": [1, 2], "std": [1]}, "mean has 2 numbers and std 1"),
        ({"op": "standardise", "mean": [1], "std": [0]}, "greater than 0"),
        ({"op": "one_hot", "classes": 0}, "greater than 0"),
        ({"op": "reshape", "shape": [0]}, "greater than 0"),
        ({"op": "transpose", "axes": [0, 2]}, r"axes must have each of 0 to 1 once, not be \[0, 2\]"),
        ({"op": "transpose", "axes": [-1]}, "greater than or equal to 0"),
        ({"op": "impute", "values": [float("nan")]}, "finite number"),
        ({"op": "impute", "values": []}, "at least 1 item"),
        ({"op": "top_k", "k": 0}, "greater than 0"),
    ],
)
def test_what_is_refused(declared, says):
    with pytest.raises(ValidationError, match=says):
        OPERATION.validate_python(declared)
