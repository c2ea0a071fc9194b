"""Serving metrics on Ray's own pipeline: exported by each node beside Serve's."""

from __future__ import annotations

from collections.abc import Callable

import ray
from ray.util import metrics as ray_metrics

from serve_app.observability.metrics import METRICS, Kind, Metric
from serve_app.observability.scrape import bracketed, scrape_nodes


class RayMetrics:
    """A metric sink that registers every row of the table once in this process."""

    def __init__(self) -> None:
        self._add: dict[str, Callable[[float, dict[str, str]], None]] = {}
        for metric in METRICS:
            if metric.kind is Kind.COUNTER:
                self._add[metric.name] = ray_metrics.Counter(metric.name, metric.help, metric.labels).inc
            else:
                self._add[metric.name] = ray_metrics.Histogram(
                    metric.name, metric.help, list(metric.buckets), metric.labels
                ).observe

    def add(self, metric: Metric, value: float, *labels: str) -> None:
        """Count or observe `value` under `labels`."""
        self._add[metric.name](value, dict(zip(metric.labels, labels, strict=True)))


async def scrape_cluster() -> bytes:
    """The serving metrics of every node that is alive, in Prometheus' text format."""
    return await scrape_nodes(
        [
            f"http://{bracketed(node['NodeManagerAddress'])}:{node['MetricsExportPort']}/metrics"
            for node in ray.nodes()
            if node["Alive"]
        ]
    )
