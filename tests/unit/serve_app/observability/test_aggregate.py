"""Numbers added up in the process, in the form that Prometheus has them."""

from __future__ import annotations

from serve_app.observability.aggregate import Aggregates
from serve_app.observability.metrics import Kind, Metric

HITS = Metric("hits", Kind.COUNTER, "Hits.", ("model",))
SIZES = Metric("sizes", Kind.HISTOGRAM, "Sizes.", ("model",), (1.0, 5.0))


def shown(aggregates: Aggregates) -> dict:
    return {
        (sample.name, sample.labels["model"], sample.labels.get("le")): sample.value for sample in aggregates.samples()
    }


def test_counters_add_up_by_label():
    aggregates = Aggregates()
    for model, value in (("a", 1), ("b", 2), ("a", 3)):
        aggregates.add(HITS, value, model)
    assert shown(aggregates) == {("hits", "a", None): 4, ("hits", "b", None): 2}


def test_a_histograms_buckets_are_cumulative_and_hold_their_upper_bound():
    aggregates = Aggregates()
    for value in (0.5, 1.0, 4.0, 9.0):
        aggregates.add(SIZES, value, "a")
    assert shown(aggregates) == {
        ("sizes_bucket", "a", "1.0"): 2,
        ("sizes_bucket", "a", "5.0"): 3,
        ("sizes_bucket", "a", "+Inf"): 4,
        ("sizes_sum", "a", None): 14.5,
        ("sizes_count", "a", None): 4,
    }
