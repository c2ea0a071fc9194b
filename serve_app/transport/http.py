"""The routes on the hot path, free of any server: a request's parts in, status, headers and body out.

`asgi.py` and every other door only carry bytes to and from here, so all doors answer alike.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

import orjson

from serve_app.data_plane.plane import DataPlane
from serve_app.errors import CapacityError, InvalidInput, ModelNotFound, ServeAppError
from serve_app.protocol import predict_json, v2_binary, v2_json
from serve_app.protocol.call import Call, tenant_of, timeout_s_of
from serve_app.protocol.v2_json import ALL_BINARY, ALL_JSON, OutputForm
from serve_app.transport.status import http_status
from serve_app.types import InferenceRequest, InferenceResponse

logger = logging.getLogger("serve_app.http")

JSON, BYTES = "application/json", "application/octet-stream"
_SERVER_TIMING = "gateway;dur=%.3f, queue;dur=%.3f, batch;dur=%.3f, compute;dur=%.3f"  # milliseconds

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
    """

    model: str
    version: str = ""


def match_infer(path: str) -> InferRoute | None:
    """The hot route of a path, or None: `/predict`, `/v2/models/{m}[/versions/{v}|/labels/{l}]/infer`."""
    if path == "/predict":
        return InferRoute("")
    if not (path.startswith("/v2/models/") and path.endswith("/infer")):
        return None
    parts = path[len("/v2/models/") :].split("/")
    if not parts[0]:
        return None
    if len(parts) == 2:
        return InferRoute(parts[0])
    if len(parts) == 4 and parts[1] in ("versions", "labels") and parts[2]:
        return InferRoute(parts[0], parts[2])
    return None


class RequestHead(NamedTuple):
    """The request headers that the hot routes read, as they came; empty where there is none.

    Attributes:
        request_id: `x-request-id`.
        timeout_s: `x-request-timeout-seconds`, KServe's and Triton's name for the time an answer may take.
        tenant: `x-tenant-id`: whose request it is, for fair queueing only.
        json_length: `inference-header-content-length`: bytes of JSON before binary tensors.
    """

    request_id: str = ""
    timeout_s: str = ""
    tenant: str = ""
    json_length: str = ""


class InferHandler:
    """Decodes, infers and encodes; the only code between a server's adapter and the data plane."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

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
            request, form = self._decode(route, head, body, request_id)
        except Exception as error:  # the outermost frame: whatever it is, the client gets a sentence, not a hang-up
            return self.refuse(route, error, request_id)
        try:
            response = await self._plane.infer(request)
        except Exception as error:  # as above; the data plane has accounted for it
            return error_response(error, request_id)
        try:
            answer, json_length = _encode(route, response, form)
        except Exception as error:  # as above
            return self.refuse(route, error, request_id)
        return HttpResponse(200, answer, _headers(response, time.perf_counter() - started, json_length))

    def refuse(self, route: InferRoute, error: Exception, request_id: str) -> HttpResponse:
        """Answer a request that does not reach the data plane, and account for it."""
        request_id = self._plane.request_id(request_id)
        self._plane.refused(route.model or self._plane.directory.default_model or "", request_id, error)
        return error_response(error, request_id)

    def _decode(
        self, route: InferRoute, head: RequestHead, body: bytes, request_id: str
    ) -> tuple[InferenceRequest, OutputForm]:
        """The request, and how the client wants the outputs."""
        call = Call(route.model, route.version, request_id, timeout_s_of(head.timeout_s), tenant_of(head.tenant))
        if not head.json_length:
            if route.model:
                return v2_json.decode_request(body, call)
            return predict_json.decode_request(body, self._plane.signature(self._default_model()), call), ALL_JSON
        if not route.model:
            raise InvalidInput(f"header {v2_binary.LENGTH_FIELD!r}", "has no meaning for /predict, which is JSON only")
        json_length = v2_binary.json_length_of(head.json_length, body)
        if json_length:
            return v2_binary.decode_mixed(body, json_length, call)
        return v2_binary.decode_raw(body, self._plane.signature(route.model, route.version), call), ALL_BINARY

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
        return HttpResponse(http_status(error), orjson.dumps({"error": str(error)}), headers)
    logger.error("internal error on request %s", request_id, exc_info=error)
    sentence = f"internal error; the server's log has it under request id {request_id}"
    return HttpResponse(HTTPStatus.INTERNAL_SERVER_ERROR, orjson.dumps({"error": sentence}), headers)


def _encode(route: InferRoute, response: InferenceResponse, form: OutputForm) -> tuple[bytes, int | None]:
    """The body, and the bytes of JSON at its start where binary outputs follow them."""
    if not route.model:
        return predict_json.encode_response(response), None
    if form is ALL_JSON:
        return v2_json.encode_response(response), None
    return v2_binary.encode_response(response, form)


def _headers(response: InferenceResponse, seconds: float, json_length: int | None) -> Mapping[str, str]:
    timings = response.timings
    queue, batch, compute = response.queued_s + timings.queue_s, timings.batch_s, timings.compute_s
    gateway = max(0.0, seconds - queue - batch - compute)
    headers = {
        "content-type": JSON,
        "x-request-id": response.request_id,
        "x-model-version": response.model_version,
        "server-timing": _SERVER_TIMING % (1000 * gateway, 1000 * queue, 1000 * batch, 1000 * compute),
    }
    if json_length is not None:
        headers["content-type"] = BYTES
        headers[v2_binary.LENGTH_FIELD] = str(json_length)
    return headers
