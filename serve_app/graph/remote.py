"""Nodes that are models of another V2 server, called through tritonclient over one connection."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from serve_app.config.graph import RemoteNode
from serve_app.datatypes import Datatype, datatype_of
from serve_app.errors import ConfigError, ModelRaised, RemoteUnavailable
from serve_app.graph.calls import Called
from serve_app.types import Array, Tensors

RECONNECT_MS = 500  # gRPC's own wait grows to two minutes, during which a server that is back would not be used
CHANNEL = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", RECONNECT_MS),
    ("grpc.min_reconnect_backoff_ms", RECONNECT_MS),
    ("grpc.max_reconnect_backoff_ms", RECONNECT_MS),
]
_AWAY = frozenset(
    (
        *("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "NOT_FOUND", "CANCELLED", "ABORTED"),
        *("404", "408", "429", "502", "503", "504"),
    )
)


class RemoteModel:
    """A model elsewhere. Every call is made in the same event loop, which the connection belongs to.

    Args:
        node: Where it is, and what it gives.
        release: Of the graph, for errors.

    Raises:
        ConfigError: The library for its protocol is not installed.
    """

    def __init__(self, node: RemoteNode, release: str) -> None:
        self._node, self._name = node, f"{release} node {node.name}"
        self._specs = {config.name: config.spec for config in node.outputs}
        try:
            self._library = import_module(f"tritonclient.{node.protocol}.aio")
        except ImportError as error:
            raise ConfigError(
                f"{self._name}: protocol {node.protocol} needs the package tritonclient[{node.protocol}]: {error}"
            ) from None
        self._connected: Any = None

    async def call(self, inputs: Tensors, left_s: float | None) -> Called:
        """Execute it on whole arrays.

        Args:
            inputs: By the remote model's names.
            left_s: Seconds until nobody wants the answer; the caller cancels then.

        Raises:
            RemoteUnavailable: It could not be reached, is not loaded, or has no room.
            ModelRaised: It refused the inputs, or failed.
        """
        library = self._library
        tensors = [_input(library, name, array) for name, array in inputs.items()]
        wanted = [library.InferRequestedOutput(name) for name in self._specs]
        try:
            result = await self._client().infer(
                self._node.model, tensors, model_version=self._node.version, outputs=wanted
            )
        except (TimeoutError, OSError) as error:  # what aiohttp raises is one of them
            raise RemoteUnavailable(self._name, self._node.url, str(error) or type(error).__name__) from None
        except Exception as error:
            self._explain(error)
            raise
        return Called({name: self._output(name, result.as_numpy(name)) for name in self._specs})

    def _client(self) -> Any:  # noqa: ANN401 tritonclient has no types
        if self._connected is None:
            options = {"channel_args": CHANNEL} if self._node.protocol == "grpc" else {}
            self._connected = self._library.InferenceServerClient(self._node.url, **options)
        return self._connected

    def _explain(self, error: Exception) -> None:
        """Raise what a library's error means; give back if it is none of theirs."""
        status = getattr(error, "status", None)
        if callable(status):  # InferenceServerException
            code, said = str(status() or "").rpartition(".")[2], str(getattr(error, "message", lambda: error)())
            if code in _AWAY:
                raise RemoteUnavailable(self._name, self._node.url, said[:200]) from None
            raise ModelRaised(self._name, f"{self._node.url} says: {said[:200]}") from None
        if type(error).__module__.startswith("aiohttp"):
            raise RemoteUnavailable(self._name, self._node.url, str(error)[:200]) from None

    def _output(self, name: str, array: Array | None) -> Array:
        if array is None:
            raise ModelRaised(self._name, f"{self._node.url} gave no output {name!r}")
        want = self._specs[name].datatype
        return array.astype(want.dtype) if want is Datatype.BF16 else array  # which tritonclient gives as float32


def _input(library: Any, name: str, array: Array) -> Any:  # noqa: ANN401 tritonclient has no types
    datatype = datatype_of(array)
    tensor = library.InferInput(name, list(array.shape), str(datatype))
    return tensor.set_data_from_numpy(array.astype(np.float32) if datatype is Datatype.BF16 else array)
