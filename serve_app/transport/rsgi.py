"""The RSGI door, granian's own interface: as `asgi.py`, with as few steps as an infer request can take.

Everything but a POST to an infer route goes the way of `asgi.py` itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Coroutine, MutableMapping
from functools import partial
from typing import Any, Protocol

import orjson
from granian.rsgi import ProtocolClosed
from starlette.types import ASGIApp, Message

from serve_app.config.gateway import LimitsConfig
from serve_app.errors import MalformedBody, ServeAppError, TooLarge
from serve_app.transport.asgi import HEAD_FIELDS, GatewayAsgi
from serve_app.transport.body_time import BodyTime
from serve_app.transport.generate import EVENTS
from serve_app.transport.http import (
    IN_LOOP_BYTES,
    JSON,
    HttpResponse,
    InferHandler,
    InferRoute,
    RequestHead,
    match_infer,
)
from serve_app.transport.leavers import Leavers
from serve_app.transport.pieces import PART_BYTES, Pieces

READY_PATH = "/v2/health/ready"
FEW_BYTES = 2**12  # of a body: with its head, it is in hyper's buffer of 8 KiB
LINGER_S = 5.0  # how long the rest of a refused body is read and thrown away, so that the client reads its answer
_HEAD_NAMES = tuple(name.decode() for name in HEAD_FIELDS)  # in the order of `RequestHead`'s first fields
_DRAINING = HttpResponse(
    503, orjson.dumps({"live": True, "ready": False, "error": "draining: this door is closing"}), {"content-type": JSON}
)

_LEFT = HttpResponse(
    499, orjson.dumps({"error": "the client closed the connection before its answer"}), {"content-type": JSON}
)
"""For one that closed only its own side, and may still read; the status is nginx's."""


class Headers(Protocol):
    """A request's headers; names are in lower case, values that are not ASCII are left out."""

    def get(self, key: str, default: str = ...) -> str | None:
        """The first value, or the default."""

    def get_all(self, key: str) -> list[str]:
        """Every value."""

    def items(self) -> list[tuple[str, str]]:
        """Every name with each of its values."""


class Scope(Protocol):
    """What a request is; each reading of an attribute makes it anew."""

    http_version: str
    server: str
    client: str
    scheme: str
    method: str
    path: str
    query_string: str
    headers: Headers


class Exchange(Protocol):
    """A request's body and the way back to its client (`RSGIHTTPProtocol`)."""

    def __call__(self) -> Awaitable[bytes]:
        """The whole body."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Begin to read the body in pieces: this very object."""

    def __anext__(self) -> Awaitable[bytes]:
        """The next piece; an empty one is the end, a second empty one says it was cut off or is malformed."""

    def client_disconnect(self) -> Awaitable[None]:
        """Wait until the client has hung up."""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Answer; only the first answer counts."""

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> StreamTransport:
        """Begin an answer of pieces; it ends when nobody has the transport any more."""


class StreamTransport(Protocol):
    """The way back for an answer of pieces."""

    def send_bytes(self, data: bytes) -> Awaitable[None]:
        """Send a piece, waiting while the client's connection has no room for it.

        Raises:
            ProtocolClosed: The client hung up.
        """


class GatewayRsgi:
    """The gateway as an RSGI application.

    Args:
        infer: Answers POSTs to infer routes.
        pages: Answers everything else.
        limits: Those of bodies.

    Attributes:
        is_draining: Whether every answer tells its client to come back on another connection, and readiness says no.
    """

    def __init__(self, infer: InferHandler, pages: ASGIApp, limits: LimitsConfig) -> None:
        self._infer, self._limits = infer, limits
        self._asgi = GatewayAsgi(infer, pages, limits)
        self._leavers = Leavers()
        self._time, self._linger = BodyTime(limits.body_timeout_s), BodyTime(LINGER_S)
        self.is_draining = False

    async def __call__(self, scope: Scope, exchange: Exchange) -> None:
        """Serve one request, as the RSGI specification 1.5 has it."""
        path = scope.path
        route = match_infer(path)
        if self.is_draining and path == READY_PATH:
            self._respond(exchange, _DRAINING)
        elif route is None or scope.method not in route.codec.methods:
            await self._by_asgi(scope, exchange)
        else:
            await self._answer(route, scope, exchange)

    async def _answer(self, route: InferRoute, scope: Scope, exchange: Exchange) -> None:
        headers = scope.headers
        head = _head(scope.query_string, headers)
        if refusal := self._infer.turned_away(route, head):
            await self._turn_away(exchange, headers, refusal)
            return
        try:
            body = await self._time.bound(self._body(exchange, _told(headers)))
        except ServeAppError as error:
            await self._refuse(exchange, headers, self._infer.refuse(route, error, head.request_id), _rest(exchange))
        except ProtocolClosed:
            self._respond(exchange, _LEFT)
        else:
            response = await self._leavers.run(self._infer(route, head, body), exchange.client_disconnect)
            if response is not None and len(response.body) > IN_LOOP_BYTES:
                await self._send_long(exchange, response)
            else:
                self._respond(exchange, response or _LEFT)

    async def _send_long(self, exchange: Exchange, response: HttpResponse) -> None:
        """Answer in pieces: granian copies each while nothing else runs."""
        body = response.body
        headers = [*response.headers.items(), ("content-length", str(len(body)))]
        if self.is_draining:
            headers.append(("connection", "close"))
        stream = exchange.response_stream(response.status, headers)
        with contextlib.suppress(ProtocolClosed):  # nobody is left to answer
            for at in range(0, len(body), PART_BYTES):
                await stream.send_bytes(body[at : at + PART_BYTES])

    def _respond(self, exchange: Exchange, response: HttpResponse, *, is_last: bool = False) -> None:
        headers = list(response.headers.items())
        if is_last or self.is_draining:
            headers.append(("connection", "close"))
        exchange.response_bytes(response.status, headers, response.body)

    async def _turn_away(self, exchange: Exchange, headers: Headers, response: HttpResponse) -> None:
        """Answer before the body is read, at the least cost.

        Of a few bytes that have come with their head hyper itself takes no notice, at half the cost of reading them. If
        they have not, which a sender does that has fallen behind its own head, it closes the connection.
        """
        length = _told(headers)
        if length is not None and length <= FEW_BYTES:
            self._respond(exchange, response)
        else:
            await self._refuse(exchange, headers, response, _unread(exchange, length))

    async def _refuse(
        self, exchange: Exchange, headers: Headers, response: HttpResponse, unread: Coroutine[Any, Any, object]
    ) -> None:
        """Answer before the end of the body, which the client sends all the same unless it has asked whether it may.

        A connection closed under its sender may cost it its answer, so what is unread is read for a while, for nothing.
        """
        if headers.get("expect"):
            unread.close()
            self._respond(exchange, response, is_last=True)
            return
        self._respond(exchange, response)
        with contextlib.suppress(ServeAppError, ProtocolClosed, StopAsyncIteration, asyncio.CancelledError):
            await self._linger.bound(unread)

    async def _body(self, exchange: Exchange, length: int | None) -> bytes:
        """The whole body, of a length if it is told.

        Raises:
            TooLarge: It is over a limit, which is said before it is read if its length is told.
            MalformedBody: It has no end.
            ProtocolClosed: The client hung up before it was whole.
        """
        if length is not None and length > self._limits.max_body_bytes:
            aiter(exchange)  # so that `_rest` can go on with it
            raise TooLarge("the body", length, self._limits.max_body_bytes, "bytes")
        if _is_short(length):
            return await exchange()
        pieces, is_ended = Pieces(self._limits), False
        async for piece in exchange:
            if is_ended:
                raise MalformedBody("the body is cut off or its chunks are malformed")
            is_ended = not piece
            pieces.add(piece)
        return await pieces.whole()

    async def _by_asgi(self, scope: Scope, exchange: Exchange) -> None:
        call = AsgiCall(scope, exchange)
        try:
            await self._asgi(call.scope, call.receive, call.send)
        finally:  # Starlette answers with 500 what a page raised, and then raises it for the server, which logs it
            if call.response and call.is_read:
                self._respond(exchange, call.response)
            elif call.response:
                await self._refuse(exchange, scope.headers, call.response, _rest(exchange))


class AsgiCall:
    """One RSGI request as ASGI sees it; the answer is collected, unless it is a stream of events.

    Attributes:
        scope: Of the ASGI specification 3.0.
        response: The answer, once it is whole; None for a stream, which is sent as it comes.
        is_read: Whether the end of the body was reached.
    """

    def __init__(self, scope: Scope, exchange: Exchange) -> None:
        self.scope = _asgi_scope(scope)
        self.response: HttpResponse | None = None
        names = {name for name, _ in self.scope["headers"]}
        self.is_read = not names & {b"content-length", b"transfer-encoding"}
        self._exchange, self._pieces = exchange, None if self.is_read else aiter(exchange)
        self._status, self._headers = 0, dict[str, str]()
        self._body = bytearray()
        self._stream: StreamTransport | None = None
        self._is_told = False

    async def receive(self) -> Message:
        """The next piece of the body, or the client's leaving."""
        if self._is_told:
            await self._exchange.client_disconnect()
            return {"type": "http.disconnect"}
        piece = b"" if self._pieces is None else await anext(self._pieces, b"")
        self._is_told = self.is_read = not piece
        return {"type": "http.request", "body": piece, "more_body": bool(piece)}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Take a part of the answer."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
            if self._headers.get("content-type", "").startswith(EVENTS):
                self._stream = self._exchange.response_stream(self._status, list(self._headers.items()))
            return
        piece = message.get("body", b"")
        if self._stream is not None:
            with contextlib.suppress(ProtocolClosed):  # `receive` tells that the client left, and so ends the call
                if piece:
                    await self._stream.send_bytes(piece)
            return
        self._body += piece
        if not message.get("more_body"):
            self.response = HttpResponse(self._status, bytes(self._body), self._headers)


def _head(query: str, headers: Headers) -> RequestHead:
    values = [headers.get(name) or "" for name in _HEAD_NAMES]
    return RequestHead._make((*values, query, partial(_field_of, headers)))


def _field_of(headers: Headers, name: str) -> str | None:
    """As of `asgi.py`."""
    return "; ".join(headers.get_all(name)) if name == "cookie" else headers.get(name)


def _told(headers: Headers) -> int | None:
    """The length of the body; true if it is there: hyper checks it, and drops it from chunked bodies."""
    told = headers.get("content-length")
    return None if told is None else int(told)


def _is_short(length: int | None) -> bool:
    """Whether to have granian copy a body in one go."""
    return length is not None and length <= IN_LOOP_BYTES


async def _unread(exchange: Exchange, length: int | None) -> None:
    """Read a body of a length, if it is told, for nothing."""
    if _is_short(length):
        await exchange()
    else:
        await _rest(aiter(exchange))


async def _rest(begun: AsyncIterator[bytes]) -> None:
    """Read what is left of a body for nothing."""
    while await anext(begun):
        continue


def _asgi_scope(scope: Scope) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": scope.http_version,
        "method": scope.method,
        "scheme": scope.scheme,
        "path": scope.path,
        "query_string": scope.query_string.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in scope.headers.items()],
        "client": _address(scope.client),
        "server": _address(scope.server),
    }


def _address(text: str) -> tuple[str, int]:
    host, port = text.rsplit(":", 1)
    return host, int(port)
