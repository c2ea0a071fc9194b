"""Every metric there is, in one table: name, unit, labels, buckets; and the sink that takes observations.

Histograms, not summaries, so that several replicas can be added up; label values are bounded: models, versions and
error classes come from the configuration and the code, never from a request.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

LATENCY_MS = (0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 5000.0, 30000.0)
ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)


class Kind(StrEnum):
    """How observations add up."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"


# By identity: to hash all fields takes a microsecond, three times a request.
@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One row of the table.

    Attributes:
        name: As people query it; a counter's exposition adds `_total`. Ray's pipeline puts `ray_` in front.
        buckets: Upper bounds of a histogram's buckets, in the unit the name ends in.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()


_RELEASE = ("model", "version")

REQUESTS = Metric("serve_app_requests", Kind.COUNTER, "Requests that reached a model's route.", _RELEASE)
ERRORS = Metric("serve_app_errors", Kind.COUNTER, "Requests answered with an error.", (*_RELEASE, "error"))
LATENCY = Metric("serve_app_request_latency_ms", Kind.HISTOGRAM, "Whole time in the gateway.", _RELEASE, LATENCY_MS)
QUEUE = Metric("serve_app_queue_time_ms", Kind.HISTOGRAM, "Wait for a block and for a batch.", _RELEASE, LATENCY_MS)
BATCH_ROWS = Metric("serve_app_batch_rows", Kind.HISTOGRAM, "Rows executed together.", _RELEASE, ROWS)
COMPUTE = Metric("serve_app_compute_time_ms", Kind.HISTOGRAM, "The runtime's time for one batch.", _RELEASE, LATENCY_MS)
TRAFFIC_CHANGES = Metric(
    "serve_app_release_events", Kind.COUNTER, "Changes of traffic, or of what can take it.", ("model", "kind")
)

METRICS = (REQUESTS, ERRORS, LATENCY, QUEUE, BATCH_ROWS, COMPUTE, TRAFFIC_CHANGES)


class MetricSink(Protocol):
    """Where observations go: Ray's pipeline in a cluster, a Prometheus registry in one process."""

    def add(self, metric: Metric, value: float, *labels: str) -> None:
        """Count `value` (a counter) or observe it (a histogram), under `labels` in the table's order."""


class NoMetrics:
    """Drops everything; for embedded use."""

    def add(self, metric: Metric, value: float, *labels: str) -> None:
        """Drop the observation."""
