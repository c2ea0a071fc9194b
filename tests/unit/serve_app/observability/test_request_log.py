"""The request log; its lines are checked through the data plane."""

from __future__ import annotations

import asyncio
import json

import pytest
from support.arithmetic import rows
from support.waiting import until

from serve_app.errors import ModelNotFound, Overloaded, VersionNotFound
from serve_app.observability.metrics import NoMetrics
from serve_app.observability.request_log import MOST_LINES, RequestLog
from serve_app.types import InferenceRequest, InferenceResponse


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
async def test_what_clients_make_up_never_becomes_a_label(error, labels):
    added = []

    class Metrics:
        def add(self, metric, value, *labels):
            added.append(labels)

    RequestLog(Metrics()).failed(InferenceRequest("m", {"x": rows(1)}), "v1", 0.1, error)
    assert added == [labels[:2], labels]


@pytest.mark.parametrize("request_id", ["r\udc80", "r" * 10_000, 2**100, b"r"])
async def test_a_line_can_be_written_whatever_a_handle_call_names(caplog, request_id):
    caplog.set_level("INFO", "serve_app.request")
    request = InferenceRequest("a\udc80", {}, request_id=request_id)
    log = RequestLog(NoMetrics())
    log.failed(request, "v1", 0.1, ModelNotFound("a\udc80", ()))
    log.answered(request, InferenceResponse("a", "v1", {}), 0.1)
    log.flush()
    failed, answered = map(json.loads, caplog.records[0].getMessage().splitlines())
    assert (failed["model"], answered["model"], answered["ms"]) == ("a?", "a", 100.0)
    assert len(failed["request_id"]) <= 300


async def test_lines_are_written_together_soon(caplog):
    caplog.set_level("INFO", "serve_app.request")
    log = RequestLog(NoMetrics())
    for number in range(3):
        log.failed(InferenceRequest("m", {}, request_id=f"r{number}"), "v1", 0.1, Overloaded("m-v1", 1))
    assert caplog.records == []
    await until(lambda: caplog.records != [])
    (record,) = caplog.records
    assert [json.loads(line)["request_id"] for line in record.getMessage().splitlines()] == ["r0", "r1", "r2"]


async def test_many_lines_are_not_held_back(caplog):
    caplog.set_level("INFO", "serve_app.request")
    log = RequestLog(NoMetrics())
    for _ in range(MOST_LINES):
        log.answered(InferenceRequest("m", {"x": rows(1)}), InferenceResponse("m", "v1", {}), 0.1)
    assert len(caplog.records[0].getMessage().splitlines()) == MOST_LINES
