"""Denormal numbers, and what becomes of them where they are taken as zero."""

from __future__ import annotations

import numpy as np

from serve_app.runtimes.denormals import IS_KNOWN
from serve_app.types import Array

DENORMAL = np.float32(1e-40)


def doubled() -> float:
    """Twice a denormal number; as a computation, which a constant would not be."""
    return float((np.array([DENORMAL]) + np.array([DENORMAL]))[0])


AS_ZERO = 0.0 if IS_KNOWN else doubled()  # a machine whose floating-point environment is not known changes nothing


def many() -> Array:
    """FP32 [100,000, 2], a denormal number and 1.5 in each row: enough that every thread has its part."""
    return np.tile(np.array([DENORMAL, 1.5], np.float32), (100_000, 1))


def doubled_rows(first: float) -> Array:
    """Twice `many`, with `first` for the denormal numbers."""
    return np.tile(np.array([first, 3.0], np.float32), (100_000, 1))
