"""Bringing what a model returned into named outputs, and texts into BYTES and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from serve_app.config.tensors import TensorConfig
from serve_app.errors import InvalidInput
from serve_app.types import Array


def by_name(answer: object, outputs: Sequence[TensorConfig]) -> dict[str, Any]:
    """Name what a model returned, in the signature's order.

    Args:
        answer: A mapping by output name (or its `source`), a tuple or list in the signature's order, or, from a model
            with one output, the bare tensor.
        outputs: The signature.

    Raises:
        ValueError: The number of outputs or a name does not match.
    """
    if isinstance(answer, Mapping):
        missing = [output.name for output in outputs if _key(output, answer) not in answer]
        if missing:
            raise ValueError(f"the answer has no output {missing[0]!r}, only {', '.join(map(str, answer))}")
        return {output.name: answer[_key(output, answer)] for output in outputs}
    values = list(answer) if isinstance(answer, (tuple, list)) else [answer]
    if len(values) != len(outputs):
        raise ValueError(f"the answer has {len(values)} outputs, the signature {len(outputs)}")
    return {output.name: value for output, value in zip(outputs, values, strict=True)}


def _key(output: TensorConfig, answer: Mapping[str, object]) -> str:
    return output.source if output.source is not None and output.source in answer else output.name


def texts_of(array: Array, name: str) -> Array:
    """A BYTES tensor's elements as `str`.

    Raises:
        InvalidInput: An element is not UTF-8.
    """
    flat = np.empty(array.size, dtype=object)
    for index, element in enumerate(array.ravel()):
        try:
            flat[index] = element if isinstance(element, str) else bytes(element).decode()
        except UnicodeDecodeError:
            raise InvalidInput(f"input {name!r}", "has an element that is not UTF-8: the model takes texts") from None
    return flat.reshape(array.shape)


def bytes_of(array: Array) -> Array:
    """A tensor of texts (dtype object, `U` or `S`) as BYTES: dtype object, elements `bytes`."""
    flat = np.empty(array.size, dtype=object)
    for index, element in enumerate(array.ravel()):
        flat[index] = element if isinstance(element, bytes) else str(element).encode()
    return flat.reshape(array.shape)
