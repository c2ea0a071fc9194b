"""Serving metrics on Ray's own pipeline: exported by each node beside Serve's."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from ray.util import metrics as ray_metrics

from serve_app.observability.aggregate import Aggregates, Sample
from serve_app.observability.metrics import METRICS, Kind, Metric

EXPORT_S = 1.0


class RayMetrics:
    """A metric sink that counts in this process and hands the numbers to Ray once a second.

    A histogram's parts are gauges of the names that Prometheus gives them (`_bucket` with `le`, `_sum`, `_count`),
    because Ray's own histogram takes single observations only; queries are the same, and `/metrics` shows a histogram.
    """

    def __init__(self) -> None:
        self._counted = Aggregates()
        self.add = self._counted.add
        self._exported: dict[tuple[str, tuple[str, ...]], float] = {}
        self._series: dict[str, ray_metrics.Counter | ray_metrics.Gauge] = {}
        for metric in METRICS:
            self._series.update(_series_of(metric))
        threading.Thread(target=self._export_for_ever, name="export-metrics", daemon=True).start()

    def export(self) -> None:
        """Hand over what was counted since the last time, and every gauge: Ray drops those that are not set again."""
        for sample in self._counted.samples():
            self._hand_over(sample, self._series[sample.name])

    def _hand_over(self, sample: Sample, series: ray_metrics.Counter | ray_metrics.Gauge) -> None:
        labels = dict(sample.labels)
        if not isinstance(series, ray_metrics.Counter):
            series.set(sample.value, labels)
            return
        key = (sample.name, tuple(sample.labels.values()))
        before, self._exported[key] = self._exported.get(key, 0.0), sample.value
        if sample.value != before:
            series.inc(sample.value - before, labels)

    def _export_for_ever(self) -> None:
        while True:
            time.sleep(EXPORT_S)
            self.export()


def _series_of(metric: Metric) -> Mapping[str, ray_metrics.Counter | ray_metrics.Gauge]:
    if metric.kind is Kind.COUNTER:
        return {metric.name: ray_metrics.Counter(metric.name, metric.help, metric.labels)}
    parts = {"_bucket": (*metric.labels, "le"), "_sum": metric.labels, "_count": metric.labels}
    return {
        metric.name + part: ray_metrics.Gauge(metric.name + part, metric.help, labels) for part, labels in parts.items()
    }
