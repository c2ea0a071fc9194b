"""From files and inline rows to V2 requests."""

import json

import numpy as np
import pytest

from serve_app.cli.infer_request import Given, InputSpec, build_request, given_file, given_json
from serve_app.cli.output import CommandError
from serve_app.datatypes import Datatype

FLOATS = InputSpec("x", Datatype.FP32, (-1, 3))
COUNTS = InputSpec("n", Datatype.INT64, (-1,))
TEXTS = InputSpec("t", Datatype.BYTES, (-1, 1))


def tensor(rows, spec=FLOATS):
    (built,) = build_request(Given(rows=rows), [spec], None)["inputs"]
    return built


def test_rows_become_a_tensor():
    assert tensor([[1, 2, 3], [4, 5, 6.5]]) == {
        "name": "x",
        "datatype": "FP32",
        "shape": [2, 3],
        "data": [1.0, 2.0, 3.0, 4.0, 5.0, 6.5],
    }


def test_a_single_row_is_taken_as_one():
    assert tensor([1, 2, 3])["shape"] == [1, 3]
    assert tensor([1, 2, 3], COUNTS)["shape"] == [3]
    assert tensor(7, COUNTS)["shape"] == [1]


def test_text_stays_text():
    assert tensor([["a"], ["b"]], TEXTS) == {"name": "t", "datatype": "BYTES", "shape": [2, 1], "data": ["a", "b"]}


def test_whole_numbers_may_be_written_as_fractions():
    assert tensor([1.0, 2.0], COUNTS)["data"] == [1, 2]


@pytest.mark.parametrize(
    ("rows", "spec", "reason"),
    [
        ([1.5], COUNTS, "input 'n' takes INT64 and was given fractions"),
        ([[1, 2], [3]], FLOATS, "the rows for input 'x' are no FP32 tensor"),
        ([["a", "b", "c"]], FLOATS, "the rows for input 'x' are no FP32 tensor"),
    ],
)
def test_rows_of_another_kind_are_refused(rows, spec, reason):
    with pytest.raises(CommandError, match=reason):
        tensor(rows, spec)


def test_of_several_inputs_one_must_be_named():
    given = Given(rows=[[1, 2, 3]])
    with pytest.raises(CommandError, match="the model has 2 inputs: say which with --input: x, n"):
        build_request(given, [FLOATS, COUNTS], None)
    with pytest.raises(CommandError, match="the model has no input 'y'; it has: x, n"):
        build_request(given, [FLOATS, COUNTS], "y")
    assert build_request(given, [FLOATS, COUNTS], "x")["inputs"][0]["name"] == "x"


def test_an_object_gives_rows_by_input():
    given = given_json('{"x": [[1, 2, 3]], "n": [1]}', "--data")
    built = build_request(given, [FLOATS, COUNTS], None)["inputs"]
    assert [(item["name"], item["shape"]) for item in built] == [("x", [1, 3]), ("n", [1])]


def test_a_whole_request_is_sent_as_it_is():
    request = {"id": "a", "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}
    assert build_request(given_json(json.dumps(request), "--data"), [], None) == request


@pytest.mark.parametrize(
    ("text", "reason"),
    [("[1,", "--data is not JSON"), ("3", "--data must be a list of rows or an object"), ("[NaN]", "not JSON")],
)
def test_text_that_is_no_request_is_refused(text, reason):
    with pytest.raises(CommandError, match=reason):
        given_json(text, "--data")


def test_npy_files_hold_rows(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(6, dtype=np.float32).reshape(2, 3))
    assert tensor(given_file(tmp_path / "x.npy").rows)["data"] == [0, 1, 2, 3, 4, 5]


def test_npy_files_are_never_unpickled(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(CommandError, match=r"x\.npy cannot be read: Object arrays cannot be loaded"):
        given_file(tmp_path / "x.npy")


@pytest.mark.parametrize("text", ["1,2,3\n4,5,6\n", "a,b,c\n1,2,3\n4,5,6\n", "\ufeffa,b,c\r\n1,2,3\r\n\r\n4,5,6\r\n"])
def test_csv_files_hold_rows_below_an_optional_header(tmp_path, text):
    (tmp_path / "x.csv").write_text(text, encoding="utf-8")
    assert given_file(tmp_path / "x.csv").rows == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "has no rows"),
        ("a,b\n", "has no rows"),
        ("1,2\n3\n", "row 2 is not 2 numbers"),
        ("1,2\n3,x\n", "row 2 is not 2 numbers"),
    ],
)
def test_csv_files_without_a_table_of_numbers_are_refused(tmp_path, text, reason):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(CommandError, match=reason):
        given_file(tmp_path / "x.csv")


def test_json_files_are_read_like_inline_data(tmp_path):
    (tmp_path / "x.json").write_text("[[1, 2, 3]]")
    assert given_file(tmp_path / "x.json").rows == [[1, 2, 3]]


def test_other_files_are_refused(tmp_path):
    with pytest.raises(CommandError, match=r"only \.npy, \.csv and \.json files are read"):
        given_file(tmp_path / "x.pkl")
    with pytest.raises(CommandError, match=r"none\.csv cannot be read: No such file"):
        given_file(tmp_path / "none.csv")


def test_damaged_and_disguised_npy_files_are_refused(tmp_path):
    for content in (b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"text"):
        (tmp_path / "x.npy").write_bytes(content)
        with pytest.raises(CommandError, match=r"x\.npy cannot be read"):
            given_file(tmp_path / "x.npy")
    np.savez(tmp_path / "x.npz", a=np.ones(2))
    (tmp_path / "x.npz").rename(tmp_path / "x.npy")
    with pytest.raises(CommandError, match=r"x\.npy cannot be read"):
        given_file(tmp_path / "x.npy")


@pytest.mark.parametrize("dtype", ["complex64", "datetime64[s]", "timedelta64[s]", [("a", "f4")], "V4"])
def test_npy_files_of_other_dtypes_are_refused(tmp_path, dtype):
    np.save(tmp_path / "x.npy", np.zeros(2, dtype))
    with pytest.raises(CommandError, match="only numbers, booleans and text are sent"):
        given_file(tmp_path / "x.npy")


@pytest.mark.parametrize("dtype", ["U3", "S3"])
def test_npy_files_hold_text_for_bytes_only(tmp_path, dtype):
    np.save(tmp_path / "x.npy", np.array([["1.5"]], dtype))
    rows = given_file(tmp_path / "x.npy").rows
    assert tensor(rows, TEXTS)["data"] == ["1.5"]
    with pytest.raises(CommandError, match="hold something that is no number"):
        tensor(rows)


def test_a_first_line_with_a_number_is_no_header(tmp_path):
    (tmp_path / "x.csv").write_text("1,x\n1,2\n")
    with pytest.raises(CommandError, match="row 1 is not 2 numbers"):
        given_file(tmp_path / "x.csv")


@pytest.mark.parametrize("text", ['{"x": [[1, 2, 3]]}', '{"inputs": []}'])
def test_an_input_is_not_named_twice(text):
    with pytest.raises(CommandError, match="--input 'zz' has no effect"):
        build_request(given_json(text, "--data"), [FLOATS], "zz")


@pytest.mark.parametrize("rows", [[300], [-1], [1e300], [float("inf")], [2**70]])
def test_numbers_outside_the_datatype_are_refused(rows):
    with pytest.raises(CommandError, match="the rows for input 'n' are no UINT8 tensor"):
        tensor(rows, InputSpec("n", Datatype.UINT8, (-1,)))
