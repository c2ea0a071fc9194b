"""`generate` and `generate_stream`: one response as JSON, or each as a server-sent event when it comes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from serve_app.data_plane.plane import DataPlane
from serve_app.data_plane.stickiness import user_in_head
from serve_app.errors import NotSupported, ServeAppError, TooLarge
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
from serve_app.protocol.generate_json import decode_request, encode_response
from serve_app.transport.compression import Decompressor
from serve_app.transport.http import JSON, error_response
from serve_app.transport.leavers import while_connected
from serve_app.types import InferenceRequest, InferenceResponse

EVENTS = "text/event-stream"
_MODEL = "/v2/models/{model}"
_VERBS = ("/generate", "/generate_stream")


def may_be_large(path: str) -> bool:
    """Whether the path is one of these, whose bodies have the limits of an infer request's."""
    return path.startswith("/v2/models/") and path.endswith(_VERBS)


class Generate:
    """Handlers of these routes.

    Args:
        plane: The data plane.

    Attributes:
        routes: For a Starlette application that answers `ServeAppError`.
    """

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        limits = plane.limits
        self._decompressed = Decompressor(limits.max_decompressed_bytes or limits.max_body_bytes)
        self.routes = [
            Route(path + verb, handler, methods=["POST"])
            for path in (_MODEL, _MODEL + "/versions/{version}", _MODEL + "/labels/{version}")
            for verb, handler in zip(_VERBS, (self.generate, self.generate_stream), strict=True)
        ]

    async def generate(self, request: Request) -> Response:
        """`POST .../generate`: the one response; a model that gives none or several is refused."""
        decoded = await self._decoded(request)
        answer = await while_connected(self._only(decoded), request.receive)
        return _GONE if answer is None else Response(encode_response(answer), headers=_version(answer), media_type=JSON)

    async def generate_stream(self, request: Request) -> Response:
        """`POST .../generate_stream`: each response as an event, and so what goes wrong behind the first."""
        decoded = await self._decoded(request)
        responses = self._plane.stream(decoded)
        first = await while_connected(_first(responses), request.receive)
        if first is None:
            await responses.aclose()
            return _GONE
        headers = {"cache-control": "no-cache", **(_version(first[0]) if first else {})}
        return StreamingResponse(_events(first, responses, decoded.request_id), headers=headers, media_type=EVENTS)

    async def _only(self, request: InferenceRequest) -> InferenceResponse:
        async with aclosing(self._plane.stream(request)) as responses:
            first = await anext(responses, None)
            if first is None or await anext(responses, None) is not None:
                count = "no response" if first is None else "several responses"
                raise NotSupported(
                    f"model {request.model_name!r} gave {count}, generate has room for one: use generate_stream"
                )
            return first

    async def _decoded(self, request: Request) -> InferenceRequest:
        name, headers = request.path_params["model"], request.headers
        request_id = self._plane.request_id(headers.get("x-request-id", ""))
        try:
            body = await request.body()
            if coding := headers.get("content-encoding", ""):
                body = await self._decompressed(body, coding)
            if len(body) > (limit := self._plane.limits.max_json_bytes):
                raise TooLarge("the JSON in the body", len(body), limit, "bytes")
            call = self._call(request, request_id)
            decoded = decode_request(body, self._plane.signature(name, call.model_version), call)
            if decoded.explain:
                raise NotSupported("flat JSON has no room for an explanation: ask for it with /infer")
            return decoded
        except ServeAppError as error:
            self._plane.refused(name, request_id, error)
            raise

    def _call(self, request: Request, request_id: str) -> Call:
        name, headers = request.path_params["model"], request.headers
        return Call(
            name,
            version_of(headers.get(VERSION_FIELD, ""), request.path_params.get("version", "")),
            request_id,
            timeout_s_of(headers.get(TIMEOUT_FIELD, "")),
            tenant_of(headers.get(TENANT_FIELD, "")),
            explain_of(request.url.query, headers.get(EXPLAIN_FIELD, "")),
            user_in_head(self._plane.directory.sticky(name), partial(_field_of, headers)),
        )


_GONE = Response(status_code=HTTPStatus.NO_CONTENT)
"""For a client that left: nobody reads it."""


def _field_of(headers: Headers, name: str) -> str | None:
    return "; ".join(headers.getlist(name)) if name == "cookie" else headers.get(name)


async def _first(responses: AsyncGenerator[InferenceResponse, None]) -> tuple[InferenceResponse, ...]:
    """The first response alone, or nothing."""
    async for response in responses:
        return (response,)
    return ()


async def _events(
    first: tuple[InferenceResponse, ...], responses: AsyncGenerator[InferenceResponse, None], request_id: str
) -> AsyncGenerator[bytes, None]:
    async with aclosing(responses):
        try:
            for response in first:
                yield _event(encode_response(response))
            async for response in responses:
                yield _event(encode_response(response))
        except Exception as error:  # the status is gone already: the sentence is the last event
            yield _event(error_response(error, request_id).body)


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def _version(response: InferenceResponse) -> dict[str, str]:
    return {"x-model-version": response.model_version}
