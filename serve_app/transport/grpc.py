"""The methods of `inference.GRPCInferenceService`, free of any server: messages in, messages or a status out."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from functools import partial
from importlib.metadata import version as package_version
from typing import Any, NamedTuple, Protocol, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from tritonclient.grpc import service_pb2 as pb

from serve_app.data_plane.cluster import ReleaseState
from serve_app.data_plane.plane import DataPlane
from serve_app.data_plane.statistics import statistics_of
from serve_app.data_plane.stickiness import user_in_head
from serve_app.errors import (
    CapacityError,
    MalformedBody,
    ModelNotFound,
    NotSupported,
    ServeAppError,
    TooLarge,
    VersionNotFound,
)
from serve_app.protocol.call import (
    EXPLAIN_FIELD,
    TENANT_FIELD,
    TIMEOUT_FIELD,
    VERSION_FIELD,
    Call,
    explain_of,
    tenant_of,
    timeout_s_of,
    version_of,
)
from serve_app.protocol.classification import classified
from serve_app.protocol.v2_grpc import (
    LONG_BYTES,
    InferMessage,
    decode_request,
    encode_response,
    parse_request,
    serialize_response,
)
from serve_app.protocol.v2_grpc_pages import config_message, metadata_message, statistics_message
from serve_app.protocol.v2_json import NO_SHARED_MEMORY
from serve_app.transport.admin import Admin
from serve_app.transport.grpc_admin import GrpcAdmin, Metadata
from serve_app.transport.grpc_stream import Interleaved
from serve_app.transport.http import IN_LOOP_BYTES
from serve_app.transport.pages import EXTENSIONS, SERVER_NAME
from serve_app.transport.status import grpc_code
from serve_app.types import InferenceRequest, InferenceResponse, nbytes_of

_T = TypeVar("_T")
logger = logging.getLogger("serve_app.grpc")

SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
REQUEST_ID_FIELD = "x-request-id"
_MAX_DETAILS = 2000  # characters; all of a call's trailers have 8 kB at most clients
_MIN_LEFT_S = 1e-6
_WANTS_FINAL, _IS_FINAL = "triton_enable_empty_final_response", "triton_final_response"
_REQUESTS = {method.name: getattr(pb, method.input_type.name) for method in SERVICE.methods}
_PARSERS = {name: request.FromString for name, request in _REQUESTS.items()} | {"ModelInfer": parse_request}

NOT_SUPPORTED = {
    "TraceSetting": "there are no trace settings: nothing is traced in Triton's way; see GET /metrics",
    "LogSettings": "log settings are neither told nor changed by a call: set logging_config in the serve YAML",
    **{
        f"{kind}SharedMemory{verb}": f"shared memory is not supported: {NO_SHARED_MEMORY}"
        for kind in ("System", "Cuda")
        for verb in ("Status", "Register", "Unregister")
    },
}
"""Why a method is not answered, by its name."""


class Sendable(Protocol):
    """A message, or what is sent as one."""

    def SerializeToString(self) -> bytes:
        """Its bytes."""


class GrpcAnswer(NamedTuple):
    """What goes back to the client, whatever the server.

    Attributes:
        message: The method's response; None with any code but OK.
        trailers: Metadata behind it.
    """

    message: Sendable | None
    code: grpc.StatusCode
    details: str
    trailers: tuple[tuple[str, str], ...]


class GrpcHandler:
    """Answers all methods; the only code between a server's shell and the data plane.

    Args:
        plane: The data plane.
        admin: The way to the controller of releases; None where there is none.
    """

    def __init__(self, plane: DataPlane, admin: Admin | None = None) -> None:
        self._plane = plane
        self._verbs = GrpcAdmin(plane, admin or Admin()).verbs
        self._pages: dict[str, Callable[..., Awaitable[Message]]] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "ModelStatistics": self._model_statistics,
            "RepositoryIndex": self._repository_index,
        }

    async def __call__(self, method: str, data: bytes, metadata: Metadata) -> GrpcAnswer:
        """Answer one call.

        Args:
            method: A name of the service, as `ModelInfer`; not that of the one whose sides are streams.
            data: The method's request.
            metadata: The call's own.
        """
        request_id = self._plane.request_id(_value(metadata, REQUEST_ID_FIELD))
        try:
            response: Sendable
            if method == "ModelInfer":
                response = await self._model_infer(data, metadata, request_id)
            elif method in self._pages:
                response = await self._pages[method](self._parsed(method, data))
            elif method in self._verbs:
                response = await self._verbs[method](self._parsed(method, data), metadata)
            else:
                raise NotSupported(NOT_SUPPORTED.get(method, f"method {method[:128]!r} is not supported"))
        except Exception as error:  # the outermost frame: whatever it is, the client gets a sentence
            return _refusal(error, request_id)
        return GrpcAnswer(response, grpc.StatusCode.OK, "", ((REQUEST_ID_FIELD, request_id),))

    async def stream(
        self, messages: AsyncIterable[bytes], metadata: Metadata
    ) -> AsyncGenerator[pb.ModelStreamInferResponse, None]:
        """Answer `ModelStreamInfer`: several of its requests at a time, each answer as it comes, with its request's id.

        A request that is refused or fails is answered with its sentence, and the stream goes on.

        Args:
            messages: One `ModelInferRequest` each.
            metadata: The call's own; what they say holds for each request.
        """
        interleaved = Interleaved(partial(self._stream_answers, metadata), self._plane.limits.max_body_bytes)
        async with aclosing(interleaved.of(messages)) as answers:
            async for answer in answers:
                yield answer

    async def _stream_answers(
        self, metadata: Metadata, data: bytes
    ) -> AsyncGenerator[pb.ModelStreamInferResponse, None]:
        """What one request of a stream is answered.

        Args:
            metadata: The stream's.
            data: The request; where its parameter `triton_enable_empty_final_response` is true, each answer says
                whether it is the last one, and the last one is empty or an error.
        """
        request_id, message = self._plane.request_id(), pb.ModelInferRequest()
        try:
            given = self._parsed_request(data, request_id)
            message = given.message
            request, classes = await self._decoded(given, metadata, request_id)
            async with aclosing(self._plane.stream(request)) as responses:
                async for response in responses:
                    yield _stream_message(message, self._encoded(response, classes, request_id), is_final=False)
        except Exception as error:  # the outermost frame of this request: the others of the stream go on
            yield _stream_message(message, pb.ModelInferResponse(), True, _refusal(error, request_id).details)
        else:
            if _wants_final(message):
                yield _stream_message(message, pb.ModelInferResponse(), is_final=True)

    async def _model_infer(self, data: bytes, metadata: Metadata, request_id: str) -> Sendable:
        given = self._parsed_request(data, request_id)
        request, classes = await self._decoded(given, metadata, request_id)
        response = await self._plane.infer(request)
        nbytes = nbytes_of(response.outputs)
        encode = serialize_response if nbytes > LONG_BYTES else encode_response
        with self._accounting(response.model_name, request_id):
            return await _off_loop(nbytes, lambda: encode(self._classified(response, classes)))

    def _parsed_request(self, data: bytes, request_id: str) -> InferMessage:
        with self._accounting("", request_id):
            given: InferMessage = self._parsed("ModelInfer", data)
            return given

    async def _decoded(
        self, given: InferMessage, metadata: Metadata, request_id: str
    ) -> tuple[InferenceRequest, Mapping[str, int]]:
        """The request, and how many classes are wanted instead of an output's scores."""
        message = given.message
        with self._accounting(message.model_name, request_id):
            call = Call(
                message.model_name,
                version_of(_value(metadata, VERSION_FIELD), message.model_version),
                request_id,
                _timeout_s(metadata),
                tenant_of(_value(metadata, TENANT_FIELD)),
                explain_of("", _value(metadata, EXPLAIN_FIELD)),
                user_in_head(self._plane.directory.sticky(message.model_name), partial(_value, metadata)),
            )
        if self._plane.is_behind:
            self._plane.turn_away(call)
        with self._accounting(message.model_name, request_id):
            return await _off_loop(given.nbytes, partial(decode_request, given, call))

    def _encoded(
        self, response: InferenceResponse, classes: Mapping[str, int], request_id: str
    ) -> pb.ModelInferResponse:
        with self._accounting(response.model_name, request_id):
            return encode_response(self._classified(response, classes))

    def _classified(self, response: InferenceResponse, classes: Mapping[str, int]) -> InferenceResponse:
        if not classes:
            return response
        info = self._plane.signature(response.model_name, response.model_version)  # it knows the labels
        return classified(response, classes, info)

    @contextmanager
    def _accounting(self, model: str, request_id: str) -> Iterator[None]:
        """Account for a request that ends here, outside of the data plane."""
        try:
            yield
        except Exception as error:
            self._plane.refused(model, request_id, error)
            raise

    def _parsed(self, method: str, data: bytes) -> Any:  # noqa: ANN401 - a message of the method's own class
        limit = self._plane.limits.max_body_bytes
        if len(data) > limit:
            raise TooLarge("the message", len(data), limit, "bytes")
        try:
            return _PARSERS[method](data)
        except DecodeError as error:
            raise MalformedBody(f"the message is no {_REQUESTS[method].__name__}: {error}") from None

    async def _server_live(self, message: pb.ServerLiveRequest) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def _server_ready(self, message: pb.ServerReadyRequest) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self._plane.directory.is_ready())

    async def _model_ready(self, message: pb.ModelReadyRequest) -> pb.ModelReadyResponse:
        """A model that is not served is not ready: clients of Triton expect an answer, not an error."""
        directory = self._plane.directory
        try:
            statuses = directory.versions(message.name)
            tag = directory.version_of(message.name, message.version) if message.version else ""
        except (ModelNotFound, VersionNotFound):
            return pb.ModelReadyResponse(ready=False)
        if tag:
            ready = any(status.version == tag and status.state is ReleaseState.READY for status in statuses)
        else:
            ready = any(status.effective > 0 for status in statuses)
        return pb.ModelReadyResponse(ready=ready)

    async def _server_metadata(self, message: pb.ServerMetadataRequest) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(name=SERVER_NAME, version=package_version("serve-app"), extensions=EXTENSIONS)

    async def _model_metadata(self, message: pb.ModelMetadataRequest) -> pb.ModelMetadataResponse:
        info = await self._plane.describe(message.name, message.version)
        statuses = self._plane.directory.versions(message.name)
        return metadata_message(info, [status.version for status in statuses if status.state is ReleaseState.READY])

    async def _model_config(self, message: pb.ModelConfigRequest) -> pb.ModelConfigResponse:
        return config_message(await self._plane.describe(message.name, message.version))

    async def _model_statistics(self, message: pb.ModelStatisticsRequest) -> pb.ModelStatisticsResponse:
        return statistics_message(await statistics_of(self._plane.directory, message.name, message.version))

    async def _repository_index(self, message: pb.RepositoryIndexRequest) -> pb.RepositoryIndexResponse:
        directory = self._plane.directory
        response = pb.RepositoryIndexResponse()
        for model in directory.models:
            for status in directory.versions(model):
                if status.state is ReleaseState.READY or not message.ready:
                    response.models.add(
                        name=model, version=status.version, state=status.state.value, reason=status.reason
                    )
        return response


def _wants_final(message: pb.ModelInferRequest) -> bool:
    return _WANTS_FINAL in message.parameters and bool(message.parameters[_WANTS_FINAL].bool_param)


def _stream_message(
    request: pb.ModelInferRequest, response: pb.ModelInferResponse, is_final: bool, sentence: str = ""
) -> pb.ModelStreamInferResponse:
    """One message of a stream; an answer that has no outputs still says whose it is."""
    if not response.outputs:
        response = pb.ModelInferResponse(
            model_name=request.model_name, model_version=request.model_version, id=request.id
        )
    if _wants_final(request):
        response.parameters[_IS_FINAL].bool_param = is_final
    return pb.ModelStreamInferResponse(error_message=sentence, infer_response=response)


def with_deadline(metadata: Metadata, left_s: float | None) -> Metadata:
    """The metadata of a call with its deadline as one more `x-request-timeout-seconds`.

    A time that is left can cross machines, a clock reading cannot.

    Args:
        metadata: As the client sent it.
        left_s: Seconds until the deadline; None if there is none.
    """
    return metadata if left_s is None else (*metadata, (TIMEOUT_FIELD, f"{max(left_s, _MIN_LEFT_S):.6f}"))


async def _off_loop(nbytes: int, work: Callable[[], _T]) -> _T:
    """What `work` gives; in a thread if that copies so many bytes that other requests would notice."""
    return await asyncio.to_thread(work) if nbytes > IN_LOOP_BYTES else work()


def _timeout_s(metadata: Metadata) -> float | None:
    """The shortest of the times that the metadata allow."""
    return min(
        (allowed for field in _values(metadata, TIMEOUT_FIELD) if (allowed := timeout_s_of(field))), default=None
    )


def _value(metadata: Metadata, name: str) -> str:
    """What the metadata say; cookies may come one by one, and no other name's second value counts."""
    values = _values(metadata, name)
    return "; ".join(values if name == "cookie" else values[:1])


def _values(metadata: Metadata, name: str) -> list[str]:
    return [value for key, value in metadata if key == name and isinstance(value, str)]


def _refusal(error: Exception, request_id: str) -> GrpcAnswer:
    """The error's sentence under its code; an error that is not ours is logged and told by its id only."""
    trailers: tuple[tuple[str, str], ...] = ((REQUEST_ID_FIELD, request_id),)
    if not isinstance(error, ServeAppError):
        logger.error("internal error on request %s", request_id, exc_info=error)
        details = f"internal error; the server's log has it under request id {request_id}"
        return GrpcAnswer(None, grpc.StatusCode.INTERNAL, details, trailers)
    if isinstance(error, CapacityError):
        trailers = (*trailers, ("retry-after", str(math.ceil(error.retry_after_s))))
    return GrpcAnswer(None, grpc.StatusCode[grpc_code(error)], str(error)[:_MAX_DETAILS], trailers)
