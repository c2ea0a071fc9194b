"""The routes on the hot path, free of any server: a request's parts in, status, headers and body out.

`asgi.py` and every other door only carry bytes to and from here, so all doors answer alike.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

import orjson

from serve_app.data_plane.plane import DataPlane
from serve_app.data_plane.stickiness import Lookup, user_in_head
from serve_app.errors import (
    BodyTimeout,
    CapacityError,
    DeadlineUnreachable,
    ModelNotFound,
    ModelNotReady,
    RequestError,
    ServeAppError,
    TooLarge,
    Unauthorized,
)
from serve_app.protocol import v2_binary
from serve_app.protocol.call import Call, explain_of, tenant_of, timeout_s_of, version_of
from serve_app.transport.codecs import PREDICT, TENSORFLOW, TORCHSERVE, V2, Body, Codec, Encode
from serve_app.transport.compression import Decompressor, compressed
from serve_app.transport.server_timing import server_timing
from serve_app.transport.status import http_status
from serve_app.types import InferenceRequest, InferenceResponse, nbytes_of

logger = logging.getLogger("serve_app.http")

PRIORITY = b'"priority"'  # as a body says it: such a request may go before others
WORTH_ASKING_BYTES = 2**13  # to decode less takes no longer than to ask whether there is hope
IN_LOOP_BYTES = 2**20  # copied in the event loop; what is more takes a thread
MOST_PATHS, SHORT_PATH = 256, 256  # whose routes are remembered, and most characters of one
JSON, BYTES = "application/json", "application/octet-stream"

# Named tuples, not frozen dataclasses: each request makes one of each, and they take a third of the time.


class HttpResponse(NamedTuple):
    """What goes back to the client, whatever the server."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class InferRoute(NamedTuple):
    """A URL that infers.

    Attributes:
        model: The model in the URL; empty for the default model's `/predict`.
        version: The version tag or label in the URL, or empty.
        codec: What its bodies are.
    """

    model: str
    version: str = ""
    codec: Codec = V2


def match_infer(path: str) -> InferRoute | None:
    """The hot route of a path, or None.

    `/v2/models/{m}[/versions/{v}|/labels/{l}]/infer`, `/v1/models/{m}[/versions/{v}|/labels/{l}]:{verb}`, `/predict`,
    and `/predictions/{m}[/{v}]` and `/explanations/{m}[/{v}]`.
    """
    return _remembered(path) if len(path) <= SHORT_PATH else _match(path)


def _match(path: str) -> InferRoute | None:
    if path.startswith("/v2/models/"):
        return _match_version(path[len("/v2/models/") : -len("/infer")], V2) if path.endswith("/infer") else None
    if path == "/predict":
        return InferRoute("", codec=PREDICT)
    if path.startswith("/v1/models/"):
        name, _, verb = path[len("/v1/models/") :].rpartition(":")
        return _match_version(name, TENSORFLOW[verb]) if verb in TENSORFLOW else None
    for start, codec in TORCHSERVE.items():
        if path.startswith(start):
            parts = path[len(start) :].split("/")
            return InferRoute(parts[0], "".join(parts[1:]), codec) if all(parts) and len(parts) <= 2 else None
    return None


_remembered = lru_cache(MOST_PATHS)(_match)


def _match_version(name: str, codec: Codec) -> InferRoute | None:
    """The route of `{m}`, `{m}/versions/{v}` or `{m}/labels/{l}`."""
    parts = name.split("/")
    if not parts[0]:
        return None
    if len(parts) == 1:
        return InferRoute(parts[0], "", codec)
    if len(parts) == 3 and parts[1] in ("versions", "labels") and parts[2]:
        return InferRoute(parts[0], parts[2], codec)
    return None


class RequestHead(NamedTuple):
    """The request headers that the hot routes read, as they came; empty where there is none.

    Attributes:
        request_id: `x-request-id`.
        timeout_s: `x-request-timeout-seconds`, KServe's and Triton's name for the time an answer may take.
        tenant: `x-tenant-id`: whose request it is, for fair queueing only.
        json_length: `inference-header-content-length`: bytes of JSON before binary tensors.
        content_type: `content-type`.
        coding: `content-encoding`: how the body is compressed.
        accept: `accept-encoding`: how the answer may be.
        explain: `x-explain`: whether the answer is to be explained.
        version: `x-model-version`: a version tag or label that wins over the split.
        query: What is behind the question mark of the URL, which may say whether the answer is to be explained.
        lookup: Gives any other header, read only where a model's users are kept at a version by it.
    """

    request_id: str = ""
    timeout_s: str = ""
    tenant: str = ""
    json_length: str = ""
    content_type: str = ""
    coding: str = ""
    accept: str = ""
    explain: str = ""
    version: str = ""
    query: str = ""
    lookup: Lookup | None = None


class InferHandler:
    """Decodes, infers and encodes; the only code between a server's adapter and the data plane."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        limits = plane.limits
        self._decompressed = Decompressor(limits.max_decompressed_bytes or limits.max_body_bytes)

    async def __call__(self, route: InferRoute, head: RequestHead, body: bytes) -> HttpResponse:
        """Answer one POST to an infer route.

        Args:
            route: From `match_infer`.
            head: The headers that matter here.
            body: Whole, within the limit.
        """
        started = time.perf_counter()
        request_id = self._plane.request_id(head.request_id)
        try:
            if head.coding:
                body = await self._decompressed(body, head.coding)
            call = self._call(route, head, request_id)
            if len(body) > WORTH_ASKING_BYTES:
                self._refuse_hopeless(route, head, body, call)
            if len(body) > IN_LOOP_BYTES:  # not by a coroutine that decides, which would cost every small request
                request, encode = await asyncio.to_thread(self._decode, route, head, body, call)
            else:
                request, encode = self._decode(route, head, body, call)
        except Exception as error:  # the outermost frame: whatever it is, the client gets a sentence, not a hang-up
            return self._not_decoded(route, head, error, request_id)
        try:
            response = await self._plane.infer(request)
        except Exception as error:  # as above; the data plane has accounted for it
            return error_response(error, request_id)
        try:
            is_long = nbytes_of(response.outputs) > IN_LOOP_BYTES
            answer = await asyncio.to_thread(encode, response) if is_long else encode(response)
        except Exception as error:  # as above
            return self.refuse(route, error, request_id)
        content, coding = await compressed(answer.content, head.accept) if head.accept else (answer.content, "")
        headers = _headers(response, time.perf_counter() - started, answer.json_length)
        if coding:
            headers |= {"content-encoding": coding, "vary": "accept-encoding"}
        return HttpResponse(200, content, headers)

    def _not_decoded(self, route: InferRoute, head: RequestHead, error: Exception, request_id: str) -> HttpResponse:
        """The answer to a request whose body is no request, or for which there is no hope, which is accounted for."""
        if isinstance(error, DeadlineUnreachable):
            return error_response(error, request_id)
        return self.refuse(route, self._said_first(route, head, error), request_id)

    def _said_first(self, route: InferRoute, head: RequestHead, error: Exception) -> Exception:
        """What is wrong with the model or version asked for, if it is, before what is wrong with the body."""
        if route.model and isinstance(error, ServeAppError):
            try:
                self._plane.directory.resolve(route.model, version_of(head.version, route.version), 0.0)
            except RequestError as unknown:
                return unknown
            except ModelNotReady:
                return error
        return error

    def _refuse_hopeless(self, route: InferRoute, head: RequestHead, body: bytes, call: Call) -> None:
        """Ask whether there is hope before it is decoded, if it names its model and has the usual priority.

        Raises:
            ServeAppError: As of `DataPlane.refuse_hopeless`.
        """
        if route.model and body.find(PRIORITY, 0, _json_bytes(route, head, body)) < 0:
            self._plane.refuse_hopeless(call)

    def turned_away(self, route: InferRoute, head: RequestHead) -> HttpResponse | None:
        """What a request is answered whose body is not to be read; None if it is.

        That costs a fraction of an answer, so doors ask first, while more comes than can be answered in time.
        """
        if not self._plane.is_behind:
            return None
        request_id = self._plane.request_id(head.request_id)
        try:
            named = route if route.model else route._replace(model=self._default_model())
            self._plane.turn_away(self._call(named, head, request_id))
        except DeadlineUnreachable as error:
            return error_response(error, request_id)
        except ServeAppError:  # said, and accounted for, once its body is read
            return None
        return None

    def refuse(self, route: InferRoute, error: Exception, request_id: str) -> HttpResponse:
        """Answer a request that does not reach the data plane, and account for it."""
        request_id = self._plane.request_id(request_id)
        self._plane.refused(route.model or self._plane.directory.default_model or "", request_id, error)
        return error_response(error, request_id)

    def _call(self, route: InferRoute, head: RequestHead, request_id: str) -> Call:
        directory = self._plane.directory
        return Call(
            route.model,
            version_of(head.version, route.version),
            request_id,
            timeout_s_of(head.timeout_s),
            tenant_of(head.tenant),
            explain_of(head.query, head.explain),
            user_in_head(directory.sticky(route.model or directory.default_model or ""), head.lookup),
        )

    def _decode(self, route: InferRoute, head: RequestHead, body: bytes, call: Call) -> tuple[InferenceRequest, Encode]:
        """The request, and what encodes its answer."""
        limit = self._plane.limits.max_json_bytes
        if len(body) > limit and (size := _json_bytes(route, head, body)) > limit:
            raise TooLarge("the JSON in the body (large tensors travel as V2 binary data)", size, limit, "bytes")
        if not route.model:
            call = call._replace(model_name=self._default_model())
        return route.codec.decode(Body(body, head.content_type, head.json_length), call, self._plane.signature)

    def _default_model(self) -> str:
        model = self._plane.directory.default_model
        if model is None:
            raise ModelNotFound("(the default)", self._plane.directory.models)
        return model


def error_response(error: Exception, request_id: str) -> HttpResponse:
    """`{"error": sentence}` with the error's status; an error that is not ours is logged and told by its id only."""
    headers = {"content-type": JSON, "x-request-id": request_id}
    if isinstance(error, ServeAppError):
        if isinstance(error, CapacityError):
            headers["retry-after"] = str(math.ceil(error.retry_after_s))
        if isinstance(error, Unauthorized):
            headers["www-authenticate"] = "Bearer"
        if isinstance(error, BodyTimeout):
            headers["connection"] = "close"  # the rest of the body may still come
        return HttpResponse(http_status(error), orjson.dumps({"error": str(error)}), headers)
    logger.error("internal error on request %s", request_id, exc_info=error)
    sentence = f"internal error; the server's log has it under request id {request_id}"
    return HttpResponse(HTTPStatus.INTERNAL_SERVER_ERROR, orjson.dumps({"error": sentence}), headers)


def _json_bytes(route: InferRoute, head: RequestHead, body: bytes) -> int:
    """The bytes of a body that are JSON, as far as its headers tell."""
    if head.json_length:
        told = head.json_length
        return int(told) if told.isascii() and told.isdigit() and len(told) < 20 else 0
    is_other = route.codec in TORCHSERVE.values() and head.content_type and "json" not in head.content_type
    return 0 if is_other else len(body)


def _headers(response: InferenceResponse, seconds: float, json_length: int | None) -> dict[str, str]:
    headers = {
        "content-type": JSON,
        "x-request-id": response.request_id,
        "x-model-version": response.model_version,
        "server-timing": server_timing(response, seconds),
    }
    if response.left_out:
        headers["x-left-out"] = ", ".join(response.left_out)
    if json_length is not None:
        headers["content-type"] = BYTES
        headers[v2_binary.LENGTH_FIELD] = str(json_length)
    return headers
