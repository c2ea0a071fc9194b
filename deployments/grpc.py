"""The gRPC shell: what Serve's gRPC server serves, and the gateway's methods that it calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Protocol

import grpc
from grpc_health.v1 import health_pb2
from tritonclient.grpc import service_pb2 as pb

from serve_app.transport.grpc import SERVICE, GrpcAnswer, GrpcHandler, Sendable, with_deadline
from serve_app.transport.grpc_admin import Metadata
from serve_app.transport.grpc_health import HEALTH, HealthHandler


class CallContext(Protocol):
    """A call as gRPC's server knows it."""

    def invocation_metadata(self) -> Metadata | None:
        """The client's metadata."""

    def time_remaining(self) -> float | None:
        """Seconds until the deadline; None if there is none."""


class ReplicaContext(Protocol):
    """The part of it that Serve hands to a replica."""

    def invocation_metadata(self) -> Metadata:
        """The client's metadata."""

    def set_code(self, code: grpc.StatusCode) -> None:
        """Set how the call ended."""

    def set_details(self, details: str) -> None:
        """Set the sentence beside a code that is not OK."""

    def set_trailing_metadata(self, trailing_metadata: list[tuple[str, str]]) -> None:
        """Set the metadata behind the answer."""


class StreamingType(Protocol):
    """Serve's word for which sides of a method are streams."""

    @property
    def name(self) -> str:
        """`UNARY_UNARY` where none is."""


class InputStream(Protocol):
    """The client's side of a stream as Serve hands it to a replica; it ends where the client leaves, too."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The messages."""

    def is_cancelled(self) -> bool:
        """Whether the client left."""


Answer = Callable[[bytes, CallContext], Awaitable[bytes]]


class GrpcServer(Protocol):
    """Serve's gRPC server.

    Attributes:
        service_handler_factory: Gives what answers a method; it is asked once for each method that is added.
    """

    service_handler_factory: Callable[[str, StreamingType], Answer]

    def add_generic_rpc_handlers(self, generic_rpc_handlers: tuple[grpc.GenericRpcHandler, ...]) -> None:
        """Serve the methods of a service."""


def add_inference_service(servicer: object, server: GrpcServer) -> None:
    """Have Serve's gRPC server serve `inference.GRPCInferenceService` and `grpc.health.v1.Health`.

    Named in `grpc_options`.

    It stands in for the function in tritonclient's stubs. Serve's proxy, which answers where no replica is known yet,
    pickles messages, and those of the stubs name a module that there is not: so they stay bytes until the replica. And
    the context that Serve hands to its replicas does not know a call's deadline, which joins the metadata here.
    """
    factory = server.service_handler_factory

    def timed_factory(service_method: str, streaming_type: StreamingType) -> Answer:
        answer = factory(service_method, streaming_type)
        return _timed(answer) if streaming_type.name == "UNARY_UNARY" else answer

    server.service_handler_factory = timed_factory
    try:
        for service in (SERVICE, HEALTH):  # Health has a List as well in the newest package, which nobody needs here
            names = [method.name for method in service.methods if hasattr(GrpcMethods, method.name)]
            handlers = {name: _handler(name) for name in names}
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))
    finally:
        server.service_handler_factory = factory


_STREAMS = {"ModelStreamInfer": grpc.stream_stream_rpc_method_handler, "Watch": grpc.unary_stream_rpc_method_handler}


def _handler(method: str) -> grpc.RpcMethodHandler:
    """Of bytes, for Serve to put its own functions into."""
    return _STREAMS.get(method, grpc.unary_unary_rpc_method_handler)(None)


def _timed(answer: Answer) -> Answer:
    async def timed(data: bytes, context: CallContext) -> bytes:
        return await answer(data, _TimedContext(context))

    return timed


class _TimedContext:
    """A call's context whose deadline is in its metadata."""

    def __init__(self, context: CallContext) -> None:
        self._context = context

    def __getattr__(self, name: str) -> object:
        return getattr(self._context, name)

    def invocation_metadata(self) -> Metadata:
        """As the client sent it, with the time that is left."""
        return with_deadline(self._context.invocation_metadata() or (), self._context.time_remaining())

    def time_remaining(self) -> float | None:
        """As the call's own."""
        return self._context.time_remaining()


def _unary(name: str) -> Callable[[GrpcMethods, bytes, ReplicaContext], Awaitable[Sendable]]:
    async def method(self: GrpcMethods, data: bytes, grpc_context: ReplicaContext) -> Sendable:
        answer = await self._grpc(name, data, grpc_context.invocation_metadata())
        return _give(answer, grpc_context)

    method.__name__ = name
    return method


def _give(answer: GrpcAnswer, grpc_context: ReplicaContext) -> Sendable:
    """Put status and trailers into the context: to raise would have Serve log a traceback for every refusal."""
    grpc_context.set_code(answer.code)
    grpc_context.set_details(answer.details)
    grpc_context.set_trailing_metadata(list(answer.trailers))
    return pb.ServerLiveResponse() if answer.message is None else answer.message  # not sent with any code but OK


class GrpcMethods:
    """The methods of the services by their names, as Serve calls them on the ingress deployment."""

    _grpc: GrpcHandler
    _health: HealthHandler

    ServerLive = _unary("ServerLive")
    ServerReady = _unary("ServerReady")
    ModelReady = _unary("ModelReady")
    ServerMetadata = _unary("ServerMetadata")
    ModelMetadata = _unary("ModelMetadata")
    ModelInfer = _unary("ModelInfer")
    ModelConfig = _unary("ModelConfig")
    ModelStatistics = _unary("ModelStatistics")
    RepositoryIndex = _unary("RepositoryIndex")
    RepositoryModelLoad = _unary("RepositoryModelLoad")
    RepositoryModelUnload = _unary("RepositoryModelUnload")
    SystemSharedMemoryStatus = _unary("SystemSharedMemoryStatus")
    SystemSharedMemoryRegister = _unary("SystemSharedMemoryRegister")
    SystemSharedMemoryUnregister = _unary("SystemSharedMemoryUnregister")
    CudaSharedMemoryStatus = _unary("CudaSharedMemoryStatus")
    CudaSharedMemoryRegister = _unary("CudaSharedMemoryRegister")
    CudaSharedMemoryUnregister = _unary("CudaSharedMemoryUnregister")
    TraceSetting = _unary("TraceSetting")
    LogSettings = _unary("LogSettings")

    async def ModelStreamInfer(
        self, messages: InputStream, grpc_context: ReplicaContext
    ) -> AsyncGenerator[pb.ModelStreamInferResponse, None]:
        """Answer every request of the stream."""
        answers = self._grpc.stream(_until_left(messages), grpc_context.invocation_metadata())
        async with aclosing(answers):
            async for answer in answers:
                yield answer

    async def Check(self, data: bytes, grpc_context: ReplicaContext) -> Sendable:
        """Tell the health of a service."""
        return _give(self._health.check(health_pb2.HealthCheckRequest.FromString(data)), grpc_context)

    async def Watch(
        self, data: bytes, grpc_context: ReplicaContext
    ) -> AsyncGenerator[health_pb2.HealthCheckResponse, None]:
        """Tell the health of a service now and at each change."""
        async with aclosing(self._health.watch(health_pb2.HealthCheckRequest.FromString(data))) as statuses:
            async for status in statuses:
                yield status


async def _until_left(messages: InputStream) -> AsyncGenerator[bytes, None]:
    """The messages; a client that left ends the work on all of them, and one that has sent its last does not."""
    async for message in messages:
        yield message
    if messages.is_cancelled():
        raise asyncio.CancelledError
