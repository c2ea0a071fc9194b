"""The routes on the hot path, free of any server: a request's parts in, status, headers and body out.

`asgi.py` and every other door only carry bytes to and from here, so all doors answer alike.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import orjson

from serve_app.data_plane.plane import DataPlane
from serve_app.errors import CapacityError, ModelNotFound, ServeAppError
from serve_app.protocol import predict_json, v2_json
from serve_app.transport.status import http_status
from serve_app.types import InferenceRequest, InferenceResponse

logger = logging.getLogger("serve_app.http")

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What goes back to the client, whatever the server."""

    status: int
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class InferRoute:
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


@dataclass(frozen=True, slots=True)
class RequestHead:
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
            request = self._decode(route, body, request_id)
        except Exception as error:  # the outermost frame: whatever it is, the client gets a sentence, not a hang-up
            return self.refuse(route, error, request_id)
        try:
            response = await self._plane.infer(request)
        except Exception as error:  # as above; the data plane has accounted for it
            return error_response(error, request_id)
        try:
            answer = v2_json.encode_response(response) if route.model else predict_json.encode_response(response)
        except Exception as error:  # as above
            return self.refuse(route, error, request_id)
        return HttpResponse(200, answer, _headers(response, time.perf_counter() - started))

    def refuse(self, route: InferRoute, error: Exception, request_id: str) -> HttpResponse:
        """Answer a request that does not reach the data plane, and account for it."""
        request_id = self._plane.request_id(request_id)
        self._plane.refused(route.model or self._plane.directory.default_model or "", request_id, error)
        return error_response(error, request_id)

    def _decode(self, route: InferRoute, body: bytes, request_id: str) -> InferenceRequest:
        if route.model:
            return v2_json.decode_request(body, route.model, route.version, request_id)
        return predict_json.decode_request(body, self._plane.signature(self._default_model()), request_id)

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


def _headers(response: InferenceResponse, seconds: float) -> Mapping[str, str]:
    timings = response.timings
    queue = response.queued_s + timings.queue_s
    gateway = max(0.0, seconds - queue - timings.batch_s - timings.compute_s)
    return {
        "content-type": JSON,
        "x-request-id": response.request_id,
        "x-model-version": response.model_version,
        "server-timing": (
            f"gateway;dur={1000 * gateway:.3f}, queue;dur={1000 * queue:.3f}, "
            f"batch;dur={1000 * timings.batch_s:.3f}, compute;dur={1000 * timings.compute_s:.3f}"
        ),
    }
