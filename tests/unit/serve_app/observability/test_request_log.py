"""The request log; its lines are checked through the data plane."""

from __future__ import annotations

import asyncio

import pytest
from support.arithmetic import rows

from serve_app.errors import ModelNotFound, Overloaded, VersionNotFound
from serve_app.observability.metrics import NoMetrics
from serve_app.observability.request_log import RequestLog
from serve_app.types import InferenceRequest


@pytest.mark.parametrize(
    ("error", "labels"),
    [
        (Overloaded("m-v1", 1), ("m", "v1", "Overloaded")),
        (VersionNotFound("m", "v1", ()), ("m", "unknown", "VersionNotFound")),
        (ModelNotFound("m", ()), ("unknown", "unknown", "ModelNotFound")),
        (asyncio.CancelledError(), ("m", "v1", "ClientLeft")),
        (RuntimeError("ours"), ("m", "v1", "InternalError")),
    ],
)
def test_what_clients_make_up_never_becomes_a_label(error, labels):
    added = []

    class Metrics:
        def add(self, metric, value, *labels):
            added.append(labels)

    RequestLog(Metrics()).failed(InferenceRequest("m", {"x": rows(1)}), "v1", 0.1, error)
    assert added == [labels[:2], labels]


def test_a_line_can_be_written_whatever_a_handle_call_names(caplog):
    caplog.set_level("INFO", "serve_app.request")
    request = InferenceRequest("a\udc80", {}, request_id="r\udc80")
    RequestLog(NoMetrics()).failed(request, "v1", 0.1, ModelNotFound("a\udc80", ()))
    assert '"model":"a?"' in caplog.text
