"""A model with inputs of any length as a node: rows that come padded to the longest, executed by about their length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from serve_app.config.release import RaggedConfig
from serve_app.errors import InvalidInput, TooLarge, WrongAnswer
from serve_app.types import Array, Tensors, TensorSpec, rows_of

Predict = Callable[[Tensors], Tensors]


@dataclass(frozen=True, slots=True)
class ByLength:
    """Executes the rows of a batch in groups, each padded to one of the model's lengths only.

    A row's own length is where its mask ends; the graph gives the mask, the server makes none here. Without a mask
    all rows are as long as they come.

    Attributes:
        execute: The model on rows of one of its lengths.
        ragged: Its lengths, and what inputs are padded with.
        outputs: Its signature; those whose axis 1 is free and came as long as the inputs get the inputs' length back,
            filled with zeros (empty BYTES).
        name: Of the node, for errors.
    """

    execute: Predict
    ragged: RaggedConfig
    outputs: Sequence[TensorSpec]
    name: str

    def predict(self, inputs: Tensors) -> Tensors:
        """Execute one batch.

        Raises:
            InvalidInput: Inputs that are padded have different lengths.
            TooLarge: A row is longer than the longest length.
            WrongAnswer: Groups have different axes where that means something.
        """
        width, lengths = self._width(inputs), self._lengths(inputs)
        if max(lengths) > self.ragged.lengths[-1]:
            raise TooLarge(
                f"axis 1 of the inputs of {self.name}", int(max(lengths)), self.ragged.lengths[-1], "elements"
            )
        buckets = np.array(self.ragged.lengths)[np.searchsorted(self.ragged.lengths, lengths)]
        groups = [(int(bucket), np.flatnonzero(buckets == bucket)) for bucket in np.unique(buckets)]
        answers = [self.execute(self._group(inputs, rows, bucket)) for bucket, rows in groups]
        return {spec.name: self._together(spec, groups, answers, width) for spec in self.outputs}

    @property
    def _padded(self) -> dict[str, float]:
        """Every input that has the length, with what it is padded with."""
        return {**self.ragged.pad, **({self.ragged.mask: 0.0} if self.ragged.mask else {})}

    def _width(self, inputs: Tensors) -> int:
        """Length of axis 1 as the inputs come."""
        (first, width), *others = [(name, inputs[name].shape[1]) for name in self._padded]
        for name, other in others:
            if other != width:
                raise InvalidInput(
                    f"input {name!r} of {self.name}", f"has length {other} along axis 1, {first!r} {width}"
                )
        return int(width)

    def _lengths(self, inputs: Tensors) -> Array:
        """Each row's own length, at least 1."""
        width = self._width(inputs)
        if self.ragged.mask is None or not width:
            return np.full(rows_of(inputs), max(1, width))
        is_there = inputs[self.ragged.mask] != 0
        ends: Array = is_there.shape[1] - is_there[:, ::-1].argmax(axis=1)
        return np.where(is_there.any(axis=1), ends, 1)

    def _group(self, inputs: Tensors, rows: Array, bucket: int) -> Tensors:
        """Some of the rows, with `bucket` elements along axis 1."""
        pad = self._padded
        return {
            name: _fitted(array, rows, bucket, pad[name]) if name in pad else array[rows]
            for name, array in inputs.items()
        }

    def _together(
        self, spec: TensorSpec, groups: Sequence[tuple[int, Array]], answers: Sequence[Tensors], width: int
    ) -> Array:
        """An output of all groups, in the order of the batch's rows."""
        parts = [answer[spec.name] for answer in answers]
        if spec.shape[1:2] == (-1,) and all(
            part.shape[1] == bucket for part, (bucket, _) in zip(parts, groups, strict=True)
        ):
            parts = [_fitted(part, np.arange(len(part)), width, 0) for part in parts]
        axes = {part.shape[1:] for part in parts}
        if len(axes) > 1:
            reason = f"output {spec.name!r} has rows of shapes {', '.join(str(list(one)) for one in sorted(axes))}"
            raise WrongAnswer(self.name, reason)
        order = np.argsort(np.concatenate([rows for _, rows in groups]))
        together: Array = np.concatenate(parts)[order]
        return together


def _fitted(array: Array, rows: Array, length: int, pad: float) -> Array:
    """Some of the rows with `length` elements along axis 1, cut or padded."""
    kept = array[rows, :length]
    missing = length - kept.shape[1]
    if not missing:
        return kept
    value = b"" if array.dtype == object else pad
    more = np.full((len(rows), missing, *array.shape[2:]), value, array.dtype)
    fitted: Array = np.concatenate([kept, more], axis=1)
    return fitted
