"""An oracle of two tiny models and a server's right answers for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import orjson

from load_tests.soak.oracle import Oracle

DIGITS_V1 = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]], np.float32)
"""The third row is a tie: either label is right."""


def oracle() -> Oracle:
    """Three rows of digits with versions v1 and v2 (which has the classes swapped), and one of wine."""
    return Oracle(
        {"digits": np.zeros((3, 64), np.float32), "wine": np.ones((1, 13), np.float32)},
        {
            ("digits", "v1"): {"probabilities": DIGITS_V1, "label": np.array([0, 1, 0])},
            ("digits", "v2"): {"probabilities": DIGITS_V1[:, ::-1], "label": np.array([1, 0, 1])},
            ("wine", "v1"): {"probabilities": np.array([[0.1, 0.7, 0.2]]), "label": np.array([1])},
        },
    )


def v2_answer(version: str, probabilities: Sequence[Sequence[float]], labels: Sequence[int]) -> bytes:
    shape = list(np.shape(probabilities))
    return orjson.dumps(
        {
            "model_version": version,
            "outputs": [
                {"name": "probabilities", "shape": shape, "data": np.ravel(probabilities).tolist()},
                {"name": "label", "shape": shape[:1], "data": list(labels)},
            ],
        }
    )
