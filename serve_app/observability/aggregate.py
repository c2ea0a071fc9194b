"""Metrics added up in this process: an observation costs less than a microsecond, whoever exports it does so by second.

Ray's own histogram takes 2.5 us an observation, which is a tenth of what a small request costs in all.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from serve_app.observability.metrics import Kind, Metric


@dataclass(frozen=True, slots=True)
class Sample:
    """One number of a metric, as Prometheus' text format has it.

    Attributes:
        name: The metric's, with `_bucket`, `_sum` or `_count` for a histogram's parts.
        labels: By name; a bucket's upper bound is its `le`.
        value: Counted since the process began.
    """

    name: str
    kind: Kind
    labels: Mapping[str, str]
    value: float


class Aggregates:
    """A metric sink that only counts."""

    def __init__(self) -> None:
        self._counters: dict[tuple[Metric, tuple[str, ...]], float] = {}
        self._histograms: dict[tuple[Metric, tuple[str, ...]], list[float]] = {}

    def add(self, metric: Metric, value: float, *labels: str) -> None:
        """Count or observe `value` under `labels`."""
        key = (metric, labels)
        if metric.kind is Kind.COUNTER:
            self._counters[key] = self._counters.get(key, 0.0) + value
            return
        counts = self._histograms.get(key)
        if counts is None:
            counts = self._histograms[key] = [0.0] * (len(metric.buckets) + 2)
        counts[bisect_left(metric.buckets, value)] += 1
        counts[-1] += value

    def samples(self) -> Iterator[Sample]:
        """Every number as it is now; buckets are cumulative."""
        for (metric, labels), value in list(self._counters.items()):
            yield Sample(metric.name, metric.kind, dict(zip(metric.labels, labels, strict=True)), value)
        for (metric, labels), counts in list(self._histograms.items()):
            named = dict(zip(metric.labels, labels, strict=True))
            total = 0.0
            for bound, count in zip((*map(str, metric.buckets), "+Inf"), counts, strict=False):
                total += count
                yield Sample(f"{metric.name}_bucket", metric.kind, {**named, "le": bound}, total)
            yield Sample(f"{metric.name}_sum", metric.kind, named, counts[-1])
            yield Sample(f"{metric.name}_count", metric.kind, named, total)
