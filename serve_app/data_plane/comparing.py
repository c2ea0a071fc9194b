"""How far the answers of two versions to one request are apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from serve_app.types import Array, Tensors

FARTHEST = 1e100
"""The distance to what is no number: so that an answer of NaN is not taken for one that is near."""

Rows = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two answers to one request.

    Attributes:
        disagrees: For each row, whether the predictions differ.
        distance: Mean absolute difference of floating predictions; None where none is floating.
    """

    disagrees: Rows
    distance: float | None = None


def compare(answer: Tensors, other: Tensors, tolerance: float) -> Comparison | None:
    """Compare the outputs of `answer` with those of the same names.

    A row disagrees if any of its elements does: numbers of which one is floating if |a - b| > tolerance * (1 + |a|),
    all else if it is not equal. NaN agrees with NaN only. Outputs of other shapes disagree in every row.

    Returns:
        None if `other` lacks an output, has other rows, or texts where the answer has numbers.
    """
    if not answer or not all(name in other and _fit(array, other[name]) for name, array in answer.items()):
        return None
    compared = [_compare(array, other[name], tolerance) for name, array in answer.items()]
    distances = [one.distance for one in compared if one.distance is not None]
    disagrees: Rows = np.logical_or.reduce([one.disagrees for one in compared])
    return Comparison(disagrees, sum(distances) / len(distances) if distances else None)


def nbytes_to_compare(answer: Sequence[Array]) -> int:
    """Bytes that comparing has to look at; a BYTES element counts with its length and 64 more, for it is slower."""
    return sum(
        array.nbytes if array.dtype != object else sum(64 + len(item) for item in array.ravel()) for array in answer
    )


def _fit(a: Array, b: Array) -> bool:
    return len(a) == len(b) and (a.dtype == object) == (b.dtype == object)


def _compare(a: Array, b: Array, tolerance: float) -> Comparison:
    is_exact = _is_exact(a) and _is_exact(b)
    if a.shape != b.shape:
        return Comparison(np.ones(len(a), np.bool_), None if is_exact else FARTHEST)
    if is_exact:
        return Comparison(_any_of_row(a != b))
    x, y = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(all="ignore"):
        apart = np.abs(x - y)
        disagrees = ~(np.isfinite(apart) & (apart <= tolerance * (1 + np.abs(x))))
        is_same = (x == y) | (np.isnan(x) & np.isnan(y))  # infinity less infinity is none
        apart[is_same], disagrees[is_same] = 0.0, False
        distance = float(apart.mean()) if apart.size else 0.0
    return Comparison(_any_of_row(disagrees), distance if distance < FARTHEST else FARTHEST)


def _is_exact(array: Array) -> bool:
    return array.dtype.kind in "iubO"


def _any_of_row(differs: npt.NDArray[Any]) -> Rows:
    rows: Rows = np.logical_or.reduce(np.asarray(differs, np.bool_).reshape(len(differs), -1), axis=1)
    return rows
