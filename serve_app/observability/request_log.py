"""Accounts for every request once: one structured log line and its metrics. Never payloads, never keys.

Lines are JSON. They are collected and handed to the logger together, half a second late at most, because a record for
each of them costs more than decoding a small request does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

import orjson

from serve_app.errors import ServeAppError
from serve_app.observability.metrics import ERRORS, LATENCY, QUEUE, REQUESTS, MetricSink
from serve_app.types import InferenceRequest, InferenceResponse

logger = logging.getLogger("serve_app.request")

FLUSH_S = 0.5
MOST_BYTES = 500  # of a line; in a longer one every text is cut
MOST_LINES = 1000  # collected before they are handed over at once
CLIENT_LEFT, INTERNAL = "ClientLeft", "InternalError"
UNKNOWN = "unknown"  # stands for models and versions nobody serves: their names come from clients, without bound


class RequestLog:
    """Writes what became of requests, to the logger `serve_app.request` and to a metric sink."""

    def __init__(self, metrics: MetricSink) -> None:
        self._metrics = metrics
        self._lines: list[bytes] = []

    def answered(self, request: InferenceRequest, response: InferenceResponse, seconds: float) -> None:
        """A request was answered after `seconds` in the gateway."""
        model, version, timings = response.model_name, response.model_version, response.timings
        queue_ms = 1000 * (response.queued_s + timings.queue_s)
        self._metrics.add(REQUESTS, 1, model, version)
        self._metrics.add(LATENCY, 1000 * seconds, model, version)
        self._metrics.add(QUEUE, queue_ms, model, version)
        if logger.isEnabledFor(logging.INFO):
            self._write(
                {
                    "time": round(time.time(), 3),
                    "request_id": request.request_id,
                    "model": model,
                    "version": version,
                    "rows": request.rows,
                    "outcome": "ok",
                    "ms": round(1000 * seconds, 3),
                    "queue_ms": round(queue_ms, 3),
                    "compute_ms": round(1000 * timings.compute_s, 3),
                    "batch_rows": timings.batch_rows,
                }
            )

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
            self._write(
                {
                    "time": round(time.time(), 3),
                    "request_id": request.request_id,
                    "model": request.model_name,
                    "version": version,
                    "rows": request.rows,
                    "outcome": outcome,
                    "error": str(error),
                    "ms": round(1000 * seconds, 3),
                }
            )

    def flush(self) -> None:
        """Hand what was collected to the logger, as one record of as many lines."""
        lines, self._lines = self._lines, []
        if lines:
            logger.info(b"\n".join(lines).decode())

    def _write(self, line: Mapping[str, object]) -> None:
        try:
            written = orjson.dumps(line)
        except orjson.JSONEncodeError:  # what a Python handle gives may be anything
            written = b""
        if not written or len(written) > MOST_BYTES:
            written = orjson.dumps({name: _printable(value) for name, value in line.items()})
        self._lines.append(written)
        if len(self._lines) == 1:
            asyncio.get_running_loop().call_later(FLUSH_S, self.flush)
        elif len(self._lines) >= MOST_LINES:
            self.flush()


def _outcome(error: BaseException) -> str:
    if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        return CLIENT_LEFT
    return type(error).__name__ if isinstance(error, ServeAppError) else INTERNAL


def _printable(value: object) -> object:
    """What JSON can carry: a number, or text cut to 300 characters, lone surrogates replaced."""
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**53):
        return value
    return str(value)[:300].encode("utf-8", "replace").decode()
