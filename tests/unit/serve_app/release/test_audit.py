"""What operators see of an event."""

from __future__ import annotations

import json

from support.records import event

from serve_app.observability.aggregate import Aggregates
from serve_app.release.audit import announce


def test_an_event_is_a_line_of_the_log_and_one_more_in_the_metrics(caplog):
    caplog.set_level("INFO", "serve_app.audit")
    metrics = Aggregates()
    announce(event(text="100% to v2"), metrics)
    announce(event("e2", kind="promoted"), metrics)
    announce(event("e3"), metrics)
    assert json.loads(caplog.messages[0]) == {
        **{"id": "e1", "time_s": 1000.0, "kind": "traffic", "model": "digits", "actor": "ann"},
        **{"text": "100% to v2", "details": {"traffic": {"v1": 95, "v2": 5}}},
    }
    assert [(sample.name, dict(sample.labels), sample.value) for sample in metrics.samples()] == [
        ("serve_app_release_events", {"model": "digits", "kind": "traffic"}, 2.0),
        ("serve_app_release_events", {"model": "digits", "kind": "promoted"}, 1.0),
    ]
