"""The operator's own function as an operation: imported when its release is loaded, checked at every call."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from serve_app.config.data_operations import Function
from serve_app.config.graph import GraphConfig, TransformNode
from serve_app.config.import_lookup import look_up
from serve_app.config.unknown_keys import Finding
from serve_app.datatypes import Datatype
from serve_app.errors import ConfigError, ModelRaised, RequestError, WrongAnswer
from serve_app.graph.links import Link, Work
from serve_app.runtimes.answer import bytes_of
from serve_app.runtimes.raised import short_reason
from serve_app.types import Array, TensorSpec

logger = logging.getLogger(__name__)


def function(operation: Function, specs: Sequence[TensorSpec]) -> Link:
    """What it declares; it is given every input as an argument."""
    given = TensorSpec("y", operation.datatype, operation.shape, operation.labels, operation.allow_nan)
    return Link((given,), lambda node: _calling(operation, _imported(operation, node), node))


def lookup_findings(graph: GraphConfig) -> Iterator[Finding]:
    """Functions that are not where they are said to be, without importing anything; at paths within the graph."""
    for index, node in enumerate(graph.nodes):
        for at, step in enumerate(node.steps if isinstance(node, TransformNode) else ()):
            if isinstance(step, Function) and (fault := _fault(step)):
                yield ("nodes", index, "steps", at, "function"), fault


def _fault(operation: Function) -> str:
    found = look_up(operation.function)
    return f"{operation.function} is a class, a function is needed" if found.kind == "class" else found.fault


def _imported(operation: Function, node: str) -> Callable[..., object]:
    module, _, name = operation.function.partition(":")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # foreign code raises anything at its import
        raise ConfigError(
            f"node {node!r}: function {operation.function!r} cannot be imported: {short_reason(error)}"
        ) from error
    if not callable(found):
        raise ConfigError(f"node {node!r}: {module} has no function {name!r}")
    return found  # type: ignore[no-any-return]  # callable() does not say what it returns


def _calling(operation: Function, own: Callable[..., object], node: str) -> Work:
    subject = f"node {node!r}"

    def work(arrays: Sequence[Array]) -> tuple[Array, ...]:
        """Raises WrongAnswer, ModelRaised, and what of RequestError the function raises."""
        try:
            answer = own(*map(_read_only, arrays))
        except RequestError:
            raise
        except Exception as error:  # foreign code; its trace is for the log, never for the client
            logger.exception("%s: %s failed on %d rows", subject, operation.function, len(arrays[0]))
            raise ModelRaised(subject, short_reason(error)) from error
        return (_checked(answer, operation, len(arrays[0]), subject),)

    return work


def _read_only(array: Array) -> Array:
    """Contiguous, and without a way to change what other nodes are given."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def _checked(answer: Any, operation: Function, rows: int, subject: str) -> Array:  # noqa: ANN401 from foreign code
    """The answer as declared: a copy, because a function may use its buffer again while rows of it are handed out."""
    try:
        array = np.array(answer, order="C")
    except ValueError as error:
        raise WrongAnswer(subject, f"{operation.function} gave no array: {error}") from None
    if operation.datatype is Datatype.BYTES and array.dtype.kind in "OUS":
        array = bytes_of(array)
    wrong = ""
    if array.dtype != operation.datatype.dtype:
        wrong = f"dtype {array.dtype}, {operation.datatype} is declared"
    elif array.ndim != len(operation.shape) or any(
        want not in (-1, have) for want, have in zip(operation.shape, array.shape, strict=True)
    ):
        wrong = f"shape {list(array.shape)}, {list(operation.shape)} is declared"
    elif len(array) != rows:
        wrong = f"{len(array)} rows for {rows}"
    if wrong:
        raise WrongAnswer(subject, f"{operation.function} gave {wrong}")
    return array
