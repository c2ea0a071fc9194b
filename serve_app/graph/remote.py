"""Nodes that are models of another V2 server, called through tritonclient over one connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

from serve_app.config.graph import RemoteNode
from serve_app.datatypes import datatype_of
from serve_app.errors import CapacityError, ConfigError, ModelFailure, ModelRaised, RemoteUnavailable
from serve_app.graph.calls import Called
from serve_app.graph.fitting import other_signature
from serve_app.types import Array, Tensors, TensorSpec

ASKING_S = 5.0  # what a server may take to describe a model
# gRPC's own wait grows to two minutes, during which a server that is back would not be used.
RECONNECT_MS, CONNECT_MS = 500, 2000
# A machine that is gone without a word is noticed after a quarter of an hour, a ping without an answer at once. A ping
# goes where nothing came for longer than an answer may take: servers close connections with more pings than answers.
PING_MS, PING_ANSWER_MS, NEVER_MS = 10_000, 2000, 2**31 - 1
_AWAY = frozenset(
    (
        *("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "NOT_FOUND", "CANCELLED", "ABORTED"),
        *("404", "408", "429", "502", "503", "504"),
    )
)

logger = logging.getLogger(__name__)


class RemoteModel:
    """A model elsewhere. All of it is used in the same event loop, which the connection belongs to.

    Args:
        node: Where it is, and what it gives.
        release: Of the graph, for errors.

    Raises:
        ConfigError: The library for its protocol is not installed.
    """

    def __init__(self, node: RemoteNode, release: str) -> None:
        self._node, self._name = node, f"{release} node {node.name}"
        self._outputs = {config.source or config.name: config.spec for config in node.outputs}
        try:
            self._library = import_module(f"tritonclient.{node.protocol}.aio")
        except ImportError as error:
            raise ConfigError(
                f"{self._name}: protocol {node.protocol} needs the package tritonclient[{node.protocol}]: {error}"
            ) from None
        self._connected: Any = None

    async def check(self, known: Mapping[str, TensorSpec]) -> None:
        """Compare what the server says about the model with what the graph gives it and expects from it.

        A server that cannot be asked is said in the log: whether the graph can do without it, its warm-up tells.

        Args:
            known: What each reference of the graph is.

        Raises:
            ConfigError: They are different.
        """
        node = self._node
        as_json = {"as_json": True} if node.protocol == "grpc" else {}
        given = {name: known[reference] for name, reference in node.inputs.items()}
        try:
            async with asyncio.timeout(ASKING_S), self._asked():
                there = await self._client().get_model_metadata(node.model, node.version, **as_json)
                different = other_signature(there, given, self._outputs)
        except (CapacityError, ModelFailure) as error:
            logger.warning("%s; it could not be compared with what the graph declares", error)
            return
        if different:
            raise ConfigError(f"{self._name} is not what {node.url} has as {node.model!r}: {'; '.join(different)}")

    async def call(self, inputs: Tensors, left_s: float | None) -> Called:
        """Execute it on whole arrays.

        Args:
            inputs: By the remote model's names.
            left_s: Seconds until nobody wants the answer, which the server is told; the caller cancels then.

        Raises:
            RemoteUnavailable: It could not be reached, is not loaded, or has no room.
            ModelRaised: It refused the inputs, or failed, or gave what cannot be read.
        """
        library, node = self._library, self._node
        tensors = [
            library.InferInput(name, list(array.shape), str(datatype_of(array))).set_data_from_numpy(array)
            for name, array in inputs.items()
        ]
        wanted = [library.InferRequestedOutput(name) for name in self._outputs]
        left_us = None if left_s is None else max(1, int(1e6 * left_s))
        async with self._asked():
            result = await self._client().infer(
                node.model, tensors, model_version=node.version, outputs=wanted, timeout=left_us
            )
            return Called({spec.name: _output(result.as_numpy(name), name) for name, spec in self._outputs.items()})

    async def close(self) -> None:
        """End the connection."""
        client, self._connected = self._connected, None
        if client is not None:
            await client.close()

    def _client(self) -> Any:  # noqa: ANN401 tritonclient has no types
        if self._connected is None:
            channel = {"channel_args": _channel(self._node.timeout_ms)}
            options = channel if self._node.protocol == "grpc" else {"conn_timeout": None}  # the caller has limits
            self._connected = self._library.InferenceServerClient(self._node.url, **options)
        return self._connected

    @asynccontextmanager
    async def _asked(self) -> AsyncIterator[None]:
        """Whatever the library raises, as an error of ours."""
        url = self._node.url
        try:
            yield
        except (TimeoutError, OSError) as error:  # most of what aiohttp raises is one of them
            raise RemoteUnavailable(self._name, url, str(error) or type(error).__name__) from None
        except Exception as error:  # others' code, and others' answers
            code, said = _meaning(error)
            if code in _AWAY or type(error).__module__.startswith("aiohttp"):
                raise RemoteUnavailable(self._name, url, said) from None
            raise ModelRaised(self._name, f"{url} says: {said}" if code else f"{url} cannot be read: {said}") from None


def _meaning(error: Exception) -> tuple[str, str]:
    """The status of an InferenceServerException, else nothing; and a short text."""
    status, message = (getattr(error, name, None) for name in ("status", "message"))
    said = str(message() if callable(message) else error).partition("\n")[0] or type(error).__name__
    return str(status() or "").rpartition(".")[2] if callable(status) else "", said[:200]


def _channel(timeout_ms: float | None) -> list[tuple[str, int]]:
    return [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.initial_reconnect_backoff_ms", RECONNECT_MS),
        ("grpc.max_reconnect_backoff_ms", RECONNECT_MS),
        ("grpc.min_reconnect_backoff_ms", CONNECT_MS),
        ("grpc.keepalive_time_ms", NEVER_MS if timeout_ms is None else max(PING_MS, int(2 * timeout_ms))),
        ("grpc.keepalive_timeout_ms", PING_ANSWER_MS),
    ]


def _output(array: Array | None, name: str) -> Array:
    if array is None:
        raise ValueError(f"there is no output {name!r}")
    return array
