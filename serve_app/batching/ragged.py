"""Inputs whose axis 1 has any length, such as tokenised texts: grouped by length bucket and padded with a mask."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from serve_app.batching.job import Shapes
from serve_app.config.release import RaggedConfig
from serve_app.errors import InvalidInput, TooLarge
from serve_app.types import Array, Tensors


@dataclass(frozen=True, slots=True)
class Ragged:
    """Pads the inputs of one model.

    Attributes:
        config: Lengths and pad values.
        mask_dtype: Of the input that the server makes; None if there is none.
    """

    config: RaggedConfig
    mask_dtype: np.dtype[np.generic] | None = None

    def group(self, shapes: Shapes) -> tuple[Shapes, int]:
        """The shapes that rows have once they are padded, and the length they are padded to.

        Args:
            shapes: Of the inputs without their mask.

        Raises:
            InvalidInput: The padded inputs have different lengths.
            TooLarge: They are longer than the longest length.
        """
        lengths = {name: axes[0] for name, _, axes in shapes if name in self.config.pad}
        length = max(lengths.values())
        for name, own in lengths.items():
            if own != length:
                raise InvalidInput(f"input {name!r}", f"has length {own} along axis 1, another input has {length}")
        at = bisect_left(self.config.lengths, length)
        if at == len(self.config.lengths):
            raise TooLarge("axis 1 of the inputs", length, self.config.lengths[-1], "elements")
        bucket = self.config.lengths[at]
        padded = tuple(
            (name, dtype, (bucket, *axes[1:]) if name in self.config.pad else axes) for name, dtype, axes in shapes
        )
        return padded, bucket

    def pad(self, inputs: Tensors, bucket: int) -> Tensors:
        """The inputs with `bucket` elements along axis 1, and their mask: [rows, bucket], 1 where there is data."""
        first = inputs[next(iter(self.config.pad))]
        rows, length = first.shape[:2]
        padded = {name: self._padded(name, array, bucket) for name, array in inputs.items()}
        if self.config.mask is not None:
            mask = np.zeros((rows, bucket), self.mask_dtype)
            mask[:, :length] = 1
            padded[self.config.mask] = mask
        return padded

    def _padded(self, name: str, array: Array, bucket: int) -> Array:
        if name not in self.config.pad or array.shape[1] == bucket:
            return array
        wide = np.full((len(array), bucket, *array.shape[2:]), self.config.pad[name], array.dtype)
        wide[:, : array.shape[1]] = array
        return wide


def cut(outputs: Tensors, names: frozenset[str], length: int, bucket: int) -> Tensors:
    """The outputs without what padding added: those in `names` have `length` elements along axis 1 instead of `bucket`.

    An output that the model gave another length is left as it is: its axis 1 is something else.
    """
    if length == bucket:
        return outputs
    return {
        name: array[:, :length] if name in names and array.ndim > 1 and array.shape[1] == bucket else array
        for name, array in outputs.items()
    }


def length_of(ragged: Ragged, inputs: Tensors) -> int:
    """Length of a block's padded inputs along axis 1, which all have the same."""
    return int(inputs[next(iter(ragged.config.pad))].shape[1])
