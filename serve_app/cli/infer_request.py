"""From a file or inline rows to a V2 JSON request that fits a model's signature."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from serve_app.cli.output import CommandError
from serve_app.datatypes import Datatype
from serve_app.types import Array

MAX_FILE_BYTES = 256 * 2**20
_NUMBERS = "biuf"  # of `dtype.kind`
_KINDS = _NUMBERS + "US"


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input as the server's metadata describes it."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Given:
    """What the caller gave: rows for one input, rows by input name, or a whole V2 request."""

    rows: object = None
    by_name: Mapping[str, object] | None = None
    request: Mapping[str, object] | None = None


def given_file(path: Path) -> Given:
    """Read a .npy, .csv or .json file.

    Raises:
        CommandError: The file cannot be read, is too long or is of another kind.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise CommandError(f"{path}: only .npy, .csv and .json files are read")
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise CommandError(f"{path} has {size} bytes, the limit is {MAX_FILE_BYTES}")
        return reader(path)
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, csv.Error) as error:
        raise CommandError(f"{path} cannot be read: {error}") from None


def given_json(text: bytes | str, subject: str) -> Given:
    """Read rows, rows by input name, or a whole V2 request (it has `inputs`).

    Raises:
        CommandError: Not JSON, or neither a list nor an object.
    """
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise CommandError(f"{subject} is not JSON: {error}") from None
    if isinstance(document, list):
        return Given(rows=document)
    if not isinstance(document, dict):
        raise CommandError(f"{subject} must be a list of rows or an object")
    return Given(request=document) if isinstance(document.get("inputs"), list) else Given(by_name=document)


def _npy(path: Path) -> Given:
    try:
        with path.open("rb") as stream:
            array = np.lib.format.read_array(stream, allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # a damaged file ends in whatever the format's parsers raise
        raise CommandError(f"{path} cannot be read: {str(error) or type(error).__name__}") from None
    if array.dtype.kind not in _KINDS:
        raise CommandError(f"{path} has dtype {array.dtype}; only numbers, booleans and text are sent")
    return Given(rows=np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array)


def _csv(path: Path) -> Given:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        lines = [line for line in csv.reader(stream) if line]
    if lines and not any(_is_numbers([cell]) for cell in lines[0]):
        lines = lines[1:]  # a header
    if not lines:
        raise CommandError(f"{path} has no rows")
    rows = []
    for number, line in enumerate(lines, start=1):
        if not _is_numbers(line) or len(line) != len(lines[0]):
            raise CommandError(f"{path}: row {number} is not {len(lines[0])} numbers")
        rows.append([_number(cell) for cell in line])
    return Given(rows=rows)


def _json(path: Path) -> Given:
    return given_json(path.read_bytes(), str(path))


_READERS: Mapping[str, Callable[[Path], Given]] = {".npy": _npy, ".csv": _csv, ".json": _json}


def _is_numbers(cells: Sequence[str]) -> bool:
    try:
        return all(isinstance(_number(cell), float | int) for cell in cells)
    except ValueError:
        return False


def _number(cell: str) -> float | int:
    try:
        return int(cell)
    except ValueError:
        return float(cell)


def build_request(given: Given, inputs: Sequence[InputSpec], input_name: str | None) -> Mapping[str, object]:
    """The V2 request for what was given.

    Args:
        given: Rows or a request.
        inputs: The model's inputs.
        input_name: Which input the rows are for; not needed where there is only one.

    Raises:
        CommandError: It is not clear which input is meant, or the rows are ragged or of another type.
    """
    if given.rows is None and input_name is not None:
        raise CommandError(f"--input {input_name!r} has no effect, because the data names its inputs itself")
    if given.request is not None:
        return given.request
    if given.by_name is not None:
        return {"inputs": [_tensor(_named(name, inputs), rows) for name, rows in given.by_name.items()]}
    if input_name is None and len(inputs) != 1:
        raise CommandError(f"the model has {len(inputs)} inputs: say which with --input: {_names(inputs)}")
    spec = inputs[0] if input_name is None else _named(input_name, inputs)
    return {"inputs": [_tensor(spec, given.rows)]}


def _named(name: str, inputs: Sequence[InputSpec]) -> InputSpec:
    for spec in inputs:
        if spec.name == name:
            return spec
    raise CommandError(f"the model has no input {name!r}; it has: {_names(inputs)}")


def _names(inputs: Sequence[InputSpec]) -> str:
    return ", ".join(spec.name for spec in inputs)


def _tensor(spec: InputSpec, rows: object) -> Mapping[str, object]:
    try:
        array = _array(spec, rows)
    except (ValueError, TypeError, OverflowError) as error:
        raise CommandError(f"the rows for input {spec.name!r} are no {spec.datatype} tensor: {error}") from None
    if array.ndim == len(spec.shape) - 1:
        array = array[np.newaxis]  # one row
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(array.shape), "data": array.ravel().tolist()}


def _array(spec: InputSpec, rows: object) -> Array:
    if spec.datatype is Datatype.BYTES:
        return np.asarray(rows, dtype=object)
    array = np.asarray(rows)
    if array.size and array.dtype.kind not in _NUMBERS:
        raise ValueError("they hold something that is no number")
    if spec.datatype.is_integer:
        return _whole(spec, array)
    return array.astype(np.float64) if spec.datatype.is_float else array


def _whole(spec: InputSpec, array: Array) -> Array:
    if array.dtype.kind == "f" and not np.all(array == np.trunc(array)):
        raise CommandError(f"input {spec.name!r} takes {spec.datatype} and was given fractions")
    with np.errstate(invalid="ignore"):
        whole = array.astype(spec.datatype.dtype)
    if not np.array_equal(whole, array):
        raise ValueError("they hold a number outside its range")
    return whole
