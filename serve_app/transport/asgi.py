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
from serve_app.errors import BodyTimeout, ServeAppError, TooManyRequests
from serve_app.transport.body_time import BodyTime
from serve_app.transport.generate import may_be_large
from serve_app.transport.http import (
    JSON,
    HttpResponse,
    InferHandler,
    InferRoute,
    RequestHead,
    match_infer,
)
from serve_app.transport.leavers import Leavers, disconnected
from serve_app.transport.pieces import Pieces, check_bytes

MAX_PAGE_BODY_BYTES = 2**16  # no route but infer and generate needs a longer one
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

    Attributes:
        most_ongoing: Requests to infer routes under way at a time; None for no limit but those of the queues.
    """

    def __init__(self, infer: InferHandler, pages: ASGIApp, limits: LimitsConfig, *, in_serve: bool = False) -> None:
        self._infer, self._pages, self._limits, self._in_serve = infer, pages, limits, in_serve
        self.most_ongoing: int | None = None
        self._ongoing = 0
        self._leavers, self._time = Leavers(), BodyTime(limits.body_timeout_s)
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

    def is_hot(self, scope: Scope) -> bool:
        """Whether a connection scope is a request to an infer route, of a server that has nothing before its paths."""
        return scope["type"] == "http" and not scope.get("root_path") and match_infer(scope["path"]) is not None

    async def _answer(self, route: InferRoute, scope: Scope, receive: Receive) -> HttpResponse | None:
        """The answer of an infer route; None if the client left before it."""
        length, head = _length_and_head(scope)
        if refusal := self._unread(route, scope, length, head):
            return refusal
        self._ongoing += 1
        try:
            try:
                body = await self._time.bound(_whole(receive, self._limits))
            except ServeAppError as error:
                return self._infer.refuse(route, error, head.request_id)
            answer = self._infer(route, head, body)
            return await (answer if self._in_serve else self._leavers.run(answer, partial(disconnected, receive)))
        finally:
            self._ongoing -= 1

    def _unread(self, route: InferRoute, scope: Scope, length: int, head: RequestHead) -> HttpResponse | None:
        """The answer to a request whose body is not to be read; None if it is.

        A client that has asked whether to send its body may leave it out then, and must not go on with the connection.
        """
        refusal = self._refusal(route, scope, length, head)
        if refusal is None or all(name != b"expect" for name, _ in scope["headers"]):
            return refusal
        return refusal._replace(headers={**refusal.headers, "connection": "close"})

    def _refusal(self, route: InferRoute, scope: Scope, length: int, head: RequestHead) -> HttpResponse | None:
        if scope["method"] not in route.codec.methods:
            return _not_allowed(scope)
        if refusal := self._infer.turned_away(route, head):
            return refusal
        try:
            if self.most_ongoing is not None and self._ongoing >= self.most_ongoing:
                raise TooManyRequests(self.most_ongoing)
            check_bytes(length, self._limits)
        except ServeAppError as error:
            return self._infer.refuse(route, error, head.request_id)
        return None

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
        self._receive, self._limits, self._pieces = receive, limits, Pieces(limits)
        self._ends = asyncio.get_running_loop().time() + limits.body_timeout_s
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
                message = await self._receive()
        except TimeoutError:
            raise BodyTimeout(self._limits.body_timeout_s) from None
        self._is_whole = not message.get("more_body")
        self._pieces.count(message.get("body", b""))
        return message


async def _whole(receive: Receive, limits: LimitsConfig) -> bytes:
    """The whole body; nothing of it was read before.

    Raises:
        TooLarge: Of the bytes or pieces so far.
        ClientDisconnect: The client hung up before it was whole.
    """
    pieces, more = Pieces(limits), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more = message.get("more_body", False)
        pieces.add(message.get("body", b""))
    return await pieces.whole()


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
