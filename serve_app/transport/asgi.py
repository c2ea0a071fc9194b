"""The ASGI door: reads a bounded body, calls the hot handler itself and leaves every other route to Starlette."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from http import HTTPStatus

import orjson
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.config.gateway import LimitsConfig
from serve_app.errors import BodyTimeout, ServeAppError, TooLarge
from serve_app.transport.generate import may_be_large
from serve_app.transport.http import (
    IN_LOOP_BYTES,
    JSON,
    HttpResponse,
    InferHandler,
    InferRoute,
    RequestHead,
    match_infer,
)
from serve_app.transport.leavers import while_connected

MAX_PAGE_BODY_BYTES = 2**16  # no route but infer and generate needs a longer one
_PART_BYTES = 2**18  # joined so far of short pieces: what is longer would be copied at once, in the event loop
_LONG_PIECE_BYTES = 2**12  # a list of shorter ones would cost many times their bytes
HEAD_FIELDS = {
    b"x-request-id": "request_id",
    b"x-request-timeout-seconds": "timeout_s",
    b"x-tenant-id": "tenant",
    b"inference-header-content-length": "json_length",
    b"content-type": "content_type",
    b"content-encoding": "coding",
    b"accept-encoding": "accept",
    b"x-explain": "explain",
    b"x-model-version": "version",
}


class GatewayAsgi:
    """The gateway as an ASGI application.

    Args:
        infer: Answers POSTs to infer routes.
        pages: Answers everything else; also runs the lifespan protocol.
        limits: Those of bodies; pages but generate's read at most `MAX_PAGE_BODY_BYTES`.
        in_serve: Whether Ray Serve is around this: it cancels a request whose client left, and adds `x-request-id`.
    """

    def __init__(self, infer: InferHandler, pages: ASGIApp, limits: LimitsConfig, *, in_serve: bool = False) -> None:
        self._infer, self._pages, self._limits, self._in_serve = infer, pages, limits, in_serve
        smaller = min(limits.max_body_bytes, MAX_PAGE_BODY_BYTES)
        self._page_limits = limits.model_copy(update={"max_body_bytes": smaller})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope, as the ASGI specification 3.0 has it."""
        route = match_infer(scope["path"]) if scope["type"] == "http" else None
        try:
            if route is None:
                is_large = scope["type"] == "http" and may_be_large(scope["path"])
                limits = self._limits if is_large else self._page_limits
                await self._pages(scope, BoundedBody(receive, limits), send)
            elif response := await self._answer(route, scope, receive):
                await self._respond(send, response)
        except ClientDisconnect:
            return  # nobody is left to answer

    async def _answer(self, route: InferRoute, scope: Scope, receive: Receive) -> HttpResponse | None:
        """The answer of an infer route; None if the client left before it."""
        length, head = _length_and_head(scope)
        if scope["method"] not in route.codec.methods:
            return _not_allowed(scope)
        try:
            _check(length, self._limits.max_body_bytes)
            body = await BoundedBody(receive, self._limits).whole()
        except ServeAppError as error:
            return self._infer.refuse(route, error, head.request_id)
        answer = self._infer(route, head, body)
        return await (answer if self._in_serve else while_connected(answer, receive))

    async def _respond(self, send: Send, response: HttpResponse) -> None:
        headers = [
            (name.encode(), value.encode("latin-1"))
            for name, value in response.headers.items()
            if not (self._in_serve and name == "x-request-id")
        ]
        headers.append((b"content-length", str(len(response.body)).encode()))
        await send({"type": "http.response.start", "status": int(response.status), "headers": headers})
        await send({"type": "http.response.body", "body": response.body})


class BoundedBody:
    """As `receive`, but a body over a limit ends at the first byte, piece or second too many."""

    def __init__(self, receive: Receive, limits: LimitsConfig) -> None:
        self._receive, self._limits = receive, limits
        self._ends = asyncio.get_running_loop().time() + limits.body_timeout_s
        self._bytes = self._pieces = 0
        self._is_whole = False

    async def __call__(self) -> Message:
        """The next message.

        Raises:
            TooLarge: Of the bytes or pieces so far.
            BodyTimeout: The body has not ended in time.
        """
        if self._is_whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._ends):
                return self._counted(await self._receive())
        except TimeoutError:
            raise BodyTimeout(self._limits.body_timeout_s) from None

    async def whole(self) -> bytes:
        """The whole body; nothing of it was read before.

        Raises:
            TooLarge, BodyTimeout: As for a message.
            ClientDisconnect: The client hung up before it was whole.
        """
        try:
            async with asyncio.timeout_at(self._ends):
                parts = await self._parts()
        except TimeoutError:
            raise BodyTimeout(self._limits.body_timeout_s) from None
        if len(parts) == 1:
            return parts[0]
        return b"".join(parts) if self._bytes <= IN_LOOP_BYTES else await asyncio.to_thread(b"".join, parts)

    async def _parts(self) -> list[bytes]:
        """The body in parts, those that came in short pieces joined already."""
        parts, short = list[bytes](), bytearray()
        while not self._is_whole:
            message = self._counted(await self._receive())
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            piece = message.get("body", b"")
            is_short = len(piece) < _LONG_PIECE_BYTES
            if is_short:
                short += piece
            if short and (not is_short or len(short) >= _PART_BYTES):
                parts.append(bytes(short))
                short.clear()
            if not is_short:
                parts.append(piece)
        return [*parts, bytes(short)] if short else parts

    def _counted(self, message: Message) -> Message:
        self._bytes += len(message.get("body", b""))
        self._pieces += 1
        self._is_whole = not message.get("more_body")
        _check(self._bytes, self._limits.max_body_bytes)
        check_pieces(self._pieces, self._limits)
        return message


def _check(size: int, limit: int) -> None:
    if size > limit:
        raise TooLarge("the body", size, limit, "bytes")


def check_pieces(pieces: int, limits: LimitsConfig) -> None:
    """Check how many pieces of a body have come.

    Raises:
        TooLarge: More than the limit.
    """
    if pieces > limits.max_body_pieces:
        raise TooLarge("the body", pieces, limits.max_body_pieces, "pieces")


def _length_and_head(scope: Scope) -> tuple[int, RequestHead]:
    length, fields = 0, dict[str, str]()
    if query := scope.get("query_string"):
        fields["query"] = query.decode("latin-1")
    for name, value in scope["headers"]:
        if name == b"content-length":
            length = int(value) if value.isdigit() and len(value) < 20 else 0
        elif field := HEAD_FIELDS.get(name):
            fields.setdefault(field, value.decode("latin-1"))
    return length, RequestHead(**fields, lookup=partial(_field_of, scope["headers"]))


def _field_of(headers: Iterable[tuple[bytes, bytes]], name: str) -> str | None:
    """What a header says; cookies may come one by one, and no other header's second value counts."""
    wanted = name.encode()
    values = [value.decode("latin-1") for found, value in headers if found == wanted]
    return "; ".join(values if name == "cookie" else values[:1])


def _not_allowed(scope: Scope) -> HttpResponse:
    sentence = f"{scope['method']} {scope['path'][:200]}: method not allowed, use POST"
    headers = {"content-type": JSON, "allow": "POST"}
    return HttpResponse(HTTPStatus.METHOD_NOT_ALLOWED, orjson.dumps({"error": sentence}), headers)
