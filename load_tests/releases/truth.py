"""What each version must answer, computed in this process without a server."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import orjson

from serve_app.dataflow.model import load_model, release_args
from serve_app.samples.data import held_out
from serve_app.types import Array

_CHUNK_ROWS = 50


@lru_cache(maxsize=1)
def rows() -> Array:
    """The held-out digits, FP32 [450, 64]."""
    return held_out("digits")[0]


@lru_cache(maxsize=1)
def bodies() -> tuple[bytes, ...]:
    """A one-row V2 infer request of each, for the label alone."""
    tensor = {"name": "pixels", "datatype": "FP32", "shape": [1, 64]}
    return tuple(
        orjson.dumps({"inputs": [{**tensor, "data": row.tolist()}], "outputs": [{"name": "label"}]}) for row in rows()
    )


def labels_of(application: Mapping[str, Any]) -> Array:
    """What a release says to every held-out row, INT64 [450].

    Raises:
        ConfigError: It cannot be loaded.
    """
    model, inputs = load_model(release_args(**application["args"])), rows()
    chunks = [
        model.predict({"pixels": inputs[begin : begin + _CHUNK_ROWS]})["label"]
        for begin in range(0, len(inputs), _CHUNK_ROWS)
    ]
    return np.concatenate(chunks)
