"""Responses: only what was asked for, in the right order, under the caller's own names."""

from __future__ import annotations

from support.arithmetic import INFO, predict, rows

from serve_app.batching.coalescer import Coalescer
from serve_app.data_plane.answering import response_of, wanted
from serve_app.data_plane.route import Route
from serve_app.types import EntryResult, InferenceRequest, Timings

OUTPUTS = predict({"x": rows(1)})


async def nobody(blocks):
    return ()


def test_all_outputs_are_given_unless_some_are_named():
    assert list(wanted(OUTPUTS, InferenceRequest("arithmetic", {}), INFO)) == ["y", "total"]
    assert list(wanted(OUTPUTS, InferenceRequest("arithmetic", {}, outputs=("total", "y")), INFO)) == ["total", "y"]


def test_a_response_has_the_names_of_its_request_and_the_version_that_answered():
    route = Route(INFO, Coalescer(nobody), client=None)
    request = InferenceRequest("arithmetic", {"x": rows(1)}, id="mine", request_id="r1")
    response = response_of(route, request, OUTPUTS, EntryResult(timings=Timings(compute_s=0.5)), 0.25)
    assert (response.id, response.request_id, response.model_version) == ("mine", "r1", "v1")
    assert (response.prediction, response.queued_s, response.timings.compute_s) == ("total", 0.25, 0.5)
    assert response.visits == ()


def test_who_asks_for_an_explanation_gets_one():
    route = Route(INFO, Coalescer(nobody), client=None)
    request = InferenceRequest("arithmetic", {"x": rows(1, 2)}, explain=True)
    (visit,) = response_of(route, request, OUTPUTS, EntryResult()).visits
    assert (visit.node, visit.rows) == ("arithmetic", 2)
