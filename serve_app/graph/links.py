"""What a chain of operations is made of."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from serve_app.errors import ConfigError
from serve_app.types import Array, TensorSpec

Work = Callable[[Sequence[Array]], Sequence[Array]]
"""Arrays with n rows to arrays with n rows; never changes its arguments."""


@dataclass(frozen=True, slots=True)
class Link:
    """An operation on tensors whose signatures are known.

    Attributes:
        outputs: Of what it gives; a single one becomes the node's `y`, several keep their names.
        load: Gives what does it, for a node of that name: only this imports libraries and opens files.
        sample: What a warm-up may give it as an element of BYTES.
    """

    outputs: tuple[TensorSpec, ...]
    load: Callable[[str], Work]
    sample: bytes = b""


class UnfitRow(Exception):
    """A row has a value that the operation does not take.

    Attributes:
        row: Among those that it was given.
        reason: With the value and the limit.
    """

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(row, reason)
        self.row, self.reason = row, reason


def ready(work: Work, *outputs: TensorSpec) -> Link:
    """An operation that has nothing to load."""
    return Link(outputs, lambda _: work)


def library(module: str, extra: str, node: str) -> Any:  # noqa: ANN401 any library
    """A library that only some graphs need.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ConfigError(
            f"node {node!r} needs {package}, which is not installed ({error}): pip install 'serve-app[{extra}]'"
        ) from error
