"""The table of metrics."""

from __future__ import annotations

import re

from serve_app.observability.metrics import METRICS, Kind, NoMetrics


def test_names_are_unique_and_histograms_end_in_their_unit():
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert re.fullmatch(r"serve_app_[a-z_]+", metric.name)
        assert (metric.kind is Kind.HISTOGRAM) == bool(metric.buckets)
        if metric.kind is Kind.HISTOGRAM:
            assert metric.name.endswith(("_ms", "_rows"))
            assert list(metric.buckets) == sorted(set(metric.buckets))


def test_labels_are_bounded():
    assert {label for metric in METRICS for label in metric.labels} == {"model", "version", "error", "kind"}


def test_no_metrics_takes_anything():
    assert NoMetrics().add(METRICS[0], 1, "m", "v") is None
