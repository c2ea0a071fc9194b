"""Operations on images and texts as YAML declares them: what is refused before anything is opened."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from serve_app.config.operations import Operation

OPERATION = TypeAdapter(Operation)
FUNCTION = {"op": "function", "function": "own.rows:twice", "datatype": "FP32", "shape": [-1, 2]}


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"op": "decode_image", "height": 8}, "width"),
        ({"op": "decode_image", "height": 8, "width": 8, "channels": 4}, "Input should be 1 or 3"),
        ({"op": "decode_image", "height": 8193, "width": 8}, "less than or equal to 8192"),
        ({"op": "decode_image", "height": 8, "width": 8, "max_pixels": 10**9}, "less than or equal to 67108864"),
        ({"op": "resize", "height": 8, "width": 8, "method": "cubic"}, "bilinear"),
        ({"op": "tokenise", "tokenizer": "t.json"}, "max_length"),
        ({"op": "tokenise", "tokenizer": "s3://b/t.json", "max_length": 8}, "must be a local path, not the URL"),
        ({**FUNCTION, "function": "own.rows.twice"}, "match pattern"),
        ({**FUNCTION, "shape": [2]}, "axis 0 is the batch axis and must be -1, not 2"),
        ({**FUNCTION, "shape": [-1, 0]}, "axes are -1"),
        ({**FUNCTION, "dtype": "FP32"}, "Extra inputs are not permitted"),
    ],
)
def test_what_is_refused(declared, says):
    with pytest.raises(ValidationError, match=says):
        OPERATION.validate_python(declared)
