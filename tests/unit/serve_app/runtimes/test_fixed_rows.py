"""Graphs with a fixed batch axis, and the batching that gives them their rows."""

from pathlib import Path

import pytest

from serve_app.config.release import BatchingConfig
from serve_app.errors import ConfigError, ManifestError
from serve_app.runtimes.fixed_rows import batching_of, check_fixed_rows, fixed_rows

FILE = Path("m.onnx")


@pytest.mark.parametrize(
    ("lengths", "rows"), [({}, None), ({"x": 1}, 1), ({"x": 4, "y": 4}, 4)], ids=["free", "one", "several"]
)
def test_all_tensors_agree_on_the_rows(lengths, rows):
    assert fixed_rows(lengths, FILE) == rows


def test_what_are_no_rows_is_refused():
    with pytest.raises(ManifestError, match=r"m.onnx: axis 0 is fixed to different lengths, of 'x' to 4, 'y' to 1"):
        fixed_rows({"x": 4, "y": 1}, FILE)
    with pytest.raises(ManifestError, match=r"axis 0 of 'x' is fixed to 0; rows are 1 to 1048576"):
        fixed_rows({"x": 0}, FILE)


@pytest.mark.parametrize("rows", [None, 1, 4])
def test_the_batching_of_a_graph_gives_it_its_rows(rows):
    check_fixed_rows(rows, batching_of(rows), "m-v1")
    assert batching_of(rows).max_rows == {None: 64, 1: 1, 4: 4}[rows]
    assert batching_of(rows).allowed_rows == {None: (), 1: (), 4: (4,)}[rows]


@pytest.mark.parametrize(
    ("rows", "batching", "told"),
    [
        (1, {}, r"every execution has 1 row\(s\), but batching.max_rows is 64 .* set batching: {max_rows: 1}"),
        (4, {}, r"has 4 row\(s\), .* allowed_rows is empty; set batching: {max_rows: 4, allowed_rows: \[4\]}"),
        (4, {"max_rows": 4}, "max_rows is 4 and allowed_rows is empty"),
        (4, {"max_rows": 8, "allowed_rows": (4, 8)}, r"max_rows is 8 and allowed_rows is \[4, 8\]"),
        (4, {"max_rows": 1}, "max_rows is 1"),
    ],
)
def test_other_rows_are_refused_with_what_to_set(rows, batching, told):
    with pytest.raises(ConfigError, match=f"^m-v1: the model's axis 0 is fixed, .*{told}"):
        check_fixed_rows(rows, BatchingConfig(**batching), "m-v1")


def test_one_allowed_size_of_one_row_will_do():
    check_fixed_rows(1, BatchingConfig(max_rows=1, allowed_rows=(1,)), "m-v1")
