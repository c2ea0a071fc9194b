"""Models that are the operator's own Python class, named in the release's configuration and never in an artifact."""

from __future__ import annotations

import importlib
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from serve_app.config.tensors import TensorConfig
from serve_app.datatypes import Datatype
from serve_app.errors import ConfigError
from serve_app.runtimes.answer import by_name, bytes_of
from serve_app.runtimes.base import RuntimeSource
from serve_app.types import Array, Tensors


class PythonModel(Protocol):
    """What the operator's class offers. It is constructed without arguments, or with those that a graph's node gives.

    It may also have `setup(directory: Path, device: str) -> None`, called once before the first batch with the
    directory of the version's verified files and `cpu` or `cuda`.
    """

    def predict(self, inputs: Tensors) -> object:
        """Answer one batch: arrays by output name, a tuple in the signature's order, or the only output's array."""


class PythonStream(Protocol):
    """What the class offers instead where the manifest says `decoupled: true`."""

    def stream(self, inputs: Tensors) -> Iterator[object]:
        """Answer one request with any number of responses, each as `PythonModel.predict` answers, row by row.

        A generator: it is closed where the client leaves, and its `finally` runs then.
        """


class PythonRuntime:
    """An instance of the operator's class.

    Attributes:
        device: `cpu` or `cuda:0`; what the class does with it is its own business.
    """

    fixed_rows = None

    def __init__(self, source: RuntimeSource) -> None:
        """Import the class, construct it and set it up; what it raises passes through.

        Raises:
            ConfigError: The release names no class, or the class cannot be found or has no `predict` (`stream`).
        """
        self._is_decoupled = source.manifest.decoupled
        made = _class_of(source.python_class, "stream" if self._is_decoupled else "predict")
        self._model = made(**source.arguments)
        self._outputs = source.manifest.outputs
        self.device = "cuda:0" if source.device == "cuda" else "cpu"
        _set_up(self._model, source.directory, source.device)

    def predict(self, inputs: Tensors) -> Tensors:
        """Execute one batch; see `Runtime.predict`.

        Raises:
            ValueError: The answer does not fit the signature, or a decoupled model gave no response.
        """
        if not self._is_decoupled:
            return self._named(self._model.predict(_own(inputs)))
        with closing(self.stream(inputs)) as responses:
            for response in responses:
                return response
        raise ValueError("stream gave no response, one at least is needed in the warm-up")

    def stream(self, inputs: Tensors) -> Generator[Tensors, None, None]:
        """Execute one request of a decoupled model; see `StreamingRuntime.stream`.

        Raises:
            ValueError: A response does not fit the signature.
        """
        responses = iter(self._model.stream(_own(inputs)))
        try:
            for response in responses:
                yield self._named(response)
        finally:
            if close := getattr(responses, "close", None):  # a generator has one, other iterators need not
                close()

    def _named(self, answer: object) -> Tensors:
        named = by_name(answer, self._outputs)
        return {config.name: _array(named[config.name], config) for config in self._outputs}


def _own(inputs: Tensors) -> Tensors:
    """Arrays that a model may write to, as in its warm-up."""
    return {name: np.require(array, requirements=["C", "W"]) for name, array in inputs.items()}


def _set_up(model: object, directory: Path, device: str) -> None:
    setup = getattr(model, "setup", None)
    if setup is not None:
        setup(directory, device)


def _class_of(reference: str | None, method: str) -> Any:  # noqa: ANN401 - any class with that method
    if reference is None:
        raise ConfigError("a model of format python needs python_class: module:Class in the release's args")
    module_name, _, class_name = reference.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"python_class {reference!r} cannot be imported: {error}") from error
    found = getattr(module, class_name, None)
    if not isinstance(found, type) or not callable(getattr(found, method, None)):
        raise ConfigError(f"python_class {reference!r}: {module_name} has no class {class_name} with a {method} method")
    return found


def _array(value: object, config: TensorConfig) -> Array:
    array = np.asarray(value)
    if config.datatype is Datatype.BYTES and array.dtype.kind in "OUS":
        return bytes_of(array)
    return np.array(array, order="C")  # a copy: a model may use its buffer again while we still hand out rows of it
