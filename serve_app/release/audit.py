"""Tells operators of every change of traffic, where they look: the log and the metrics."""

from __future__ import annotations

import logging

from serve_app.observability.metrics import TRAFFIC_CHANGES, MetricSink
from serve_app.release.documents import line_of
from serve_app.release.records import Event

logger = logging.getLogger("serve_app.audit")


def announce(event: Event, metrics: MetricSink) -> None:
    """Write the event as one JSON line to the logger `serve_app.audit` and count it."""
    logger.info("%s", line_of(event).decode())
    metrics.add(TRAFFIC_CHANGES, 1, event.model, event.kind)
