"""Accounts for every request once: one structured log line and its metrics. Never payloads, never keys."""

from __future__ import annotations

import asyncio
import logging

import orjson

from serve_app.errors import ServeAppError
from serve_app.observability.metrics import ERRORS, LATENCY, QUEUE, REQUESTS, MetricSink
from serve_app.types import InferenceRequest, InferenceResponse

logger = logging.getLogger("serve_app.request")

CLIENT_LEFT, INTERNAL = "ClientLeft", "InternalError"
UNKNOWN = "unknown"  # stands for models and versions nobody serves: their names come from clients, without bound


class RequestLog:
    """Writes what became of requests, to the logger `serve_app.request` and to a metric sink."""

    def __init__(self, metrics: MetricSink) -> None:
        self._metrics = metrics

    def answered(self, request: InferenceRequest, response: InferenceResponse, seconds: float) -> None:
        """A request was answered after `seconds` in the gateway."""
        model, version, timings = response.model_name, response.model_version, response.timings
        queue_ms = 1000 * (response.queued_s + timings.queue_s)
        self._metrics.add(REQUESTS, 1, model, version)
        self._metrics.add(LATENCY, 1000 * seconds, model, version)
        self._metrics.add(QUEUE, queue_ms, model, version)
        if logger.isEnabledFor(logging.INFO):
            line = {
                "request_id": _printable(request.request_id),
                "model": model,
                "version": version,
                "rows": request.rows,
                "outcome": "ok",
                "ms": round(1000 * seconds, 3),
                "queue_ms": round(queue_ms, 3),
                "compute_ms": round(1000 * timings.compute_s, 3),
                "batch_rows": timings.batch_rows,
            }
            logger.info(orjson.dumps(line).decode())

    def failed(self, request: InferenceRequest, version: str, seconds: float, error: BaseException) -> None:
        """A request ended with an error.

        Args:
            request: As it was decoded.
            version: The version tag chosen, or what the client asked for if none could be.
            seconds: Time in the gateway.
            error: A cancellation means that the client left; what is not ours is an internal error.
        """
        outcome = _outcome(error)
        model, tag = request.model_name, version
        if outcome in ("ModelNotFound", "VersionNotFound"):
            model, tag = (UNKNOWN if outcome == "ModelNotFound" else model), UNKNOWN
        self._metrics.add(REQUESTS, 1, model, tag)
        self._metrics.add(ERRORS, 1, model, tag, outcome)
        if logger.isEnabledFor(logging.INFO):
            line = {
                "request_id": _printable(request.request_id),
                "model": _printable(request.model_name),
                "version": _printable(version),
                "rows": request.rows,
                "outcome": outcome,
                "error": _printable(str(error)),
                "ms": round(1000 * seconds, 3),
            }
            logger.info(orjson.dumps(line).decode())


def _outcome(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return CLIENT_LEFT
    return type(error).__name__ if isinstance(error, ServeAppError) else INTERNAL


def _printable(text: str) -> str:
    """What JSON can carry, cut to 300 characters: lone surrogates may come from a Python handle."""
    return str(text)[:300].encode("utf-8", "replace").decode()
