"""scikit-learn's bundled data sets and the one fixed split of each, so that every accuracy is of the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from serve_app.types import Array

DataName = Literal["digits", "standardised digits", "wine"]

PIXEL_MEAN, PIXEL_STD = 4.89, 6.02
"""Of all pixels of the digits to train on: what a graph's `standardise` before the support vectors stores."""

_SEED = 20240601
_HELD_OUT_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Split:
    """A data set in two stratified parts.

    Attributes:
        train_inputs: FP32, one row an example.
        train_labels: INT64 class index of each row.
        held_out_inputs: As `train_inputs`; no model was fitted or chosen on them.
        held_out_labels: As `train_labels`.
        class_names: Name of each class index.
    """

    train_inputs: Array
    train_labels: Array
    held_out_inputs: Array
    held_out_labels: Array
    class_names: tuple[str, ...]


def split(name: DataName) -> Split:
    """The data set `digits` (64 pixels, 0..16, row by row; 10 classes) or `wine` (13 measurements; 3 classes).

    `standardised digits` are the same rows as (pixels - PIXEL_MEAN) / PIXEL_STD. A quarter of each class is held out:
    450 digits, 45 wines.
    """
    from sklearn.datasets import load_digits, load_wine  # noqa: PLC0415 - a second, needed only to train and measure
    from sklearn.model_selection import train_test_split  # noqa: PLC0415

    bunch = load_wine() if name == "wine" else load_digits()
    inputs, labels = bunch.data.astype(np.float32), bunch.target.astype(np.int64)
    if name == "standardised digits":
        inputs = (inputs - np.float32(PIXEL_MEAN)) / np.float32(PIXEL_STD)
    train_inputs, held_out_inputs, train_labels, held_out_labels = train_test_split(
        inputs, labels, test_size=_HELD_OUT_SHARE, random_state=_SEED, stratify=labels
    )
    names = tuple(str(class_name) for class_name in bunch.target_names)
    return Split(train_inputs, train_labels, held_out_inputs, held_out_labels, names)


def held_out(name: DataName) -> tuple[Array, Array]:
    """The held-out inputs (FP32 [n, 64] or [n, 13]) of a sample data set and their labels (INT64 [n])."""
    parts = split(name)
    return parts.held_out_inputs, parts.held_out_labels
