"""Triton's classification extension: instead of an output's scores, its best classes as BYTES `score:index[:label]`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from serve_app.datatypes import datatype_of
from serve_app.errors import InvalidInput, TooLarge
from serve_app.types import Array, InferenceResponse, ReleaseInfo

MAX_CLASSES = 2**16  # of all rows together; each becomes a Python object, in the event loop (measured: 35 ms)


def classified(response: InferenceResponse, counts: Mapping[str, int], info: ReleaseInfo) -> InferenceResponse:
    """The same answer, with the best classes in place of the scores of some outputs.

    Args:
        response: The answer of a model.
        counts: How many classes are wanted, over 0, by the output's name.
        info: Of the release that answered; it knows the labels.

    Raises:
        InvalidInput: An output has no scores.
        TooLarge: The rows have more classes together than `MAX_CLASSES`.
    """
    labels = {spec.name: spec.labels for spec in info.outputs}
    outputs = {
        name: top_classes(array, counts[name], labels.get(name, ()), f"output {name!r}") if name in counts else array
        for name, array in response.outputs.items()
    }
    return replace(response, outputs=outputs)


def top_classes(scores: Array, count: int, labels: tuple[str, ...], subject: str) -> Array:
    """The best classes of every row, the best one first, and of equal ones the one with the lower index.

    Args:
        scores: Numbers of shape [rows, ...]; the axes beyond 0 are read as one. NaN is the worst score.
        count: Classes wanted, over 0; a row that has fewer gives all it has.
        labels: Names of the classes; left out where there are not as many as scores in a row.
        subject: Names the output in errors.

    Returns:
        BYTES of shape [rows, classes]; a float score has 6 decimals, as `std::to_string` in C++ writes it.

    Raises:
        InvalidInput: They are no numbers, or a row is a single value without an axis of classes.
        TooLarge: More than `MAX_CLASSES`.
    """
    datatype = datatype_of(scores)
    if not (datatype.is_integer or datatype.is_float):
        raise InvalidInput(subject, f"is {datatype}: classification needs numbers")
    if scores.ndim < 2:
        raise InvalidInput(subject, "has one value a row: classification needs an axis of scores")
    rows = scores.reshape(len(scores), -1)
    wanted = min(count, rows.shape[1])
    if rows.shape[0] * wanted > MAX_CLASSES:
        raise TooLarge(subject, rows.shape[0] * wanted, MAX_CLASSES, "classes")
    best = _best(rows, wanted)
    values = np.take_along_axis(rows, best, axis=1)
    form = "%f:%d" if datatype.is_float else "%d:%d"
    texts = [form % pair for pair in zip(values.ravel().tolist(), best.ravel().tolist(), strict=True)]
    if len(labels) == rows.shape[1]:
        texts = [f"{text}:{labels[index]}" for text, index in zip(texts, best.ravel().tolist(), strict=True)]
    classes: Array = np.empty(len(texts), dtype=object)
    classes[:] = [text.encode() for text in texts]
    return classes.reshape(best.shape)


def _best(rows: Array, wanted: int) -> Array:
    """The indices of the highest values of each row."""
    if datatype_of(rows).is_float:
        rows = np.where(np.isnan(rows), -np.inf, rows)
    # Mirrored before and after a stable ascending sort, so that equal scores keep their order; a negated one would not
    # do for unsigned numbers.
    ascending = np.argsort(rows[:, ::-1], axis=1, kind="stable")
    best: Array = rows.shape[1] - 1 - ascending[:, ::-1][:, :wanted]
    return best
