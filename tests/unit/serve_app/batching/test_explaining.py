"""Whose rows went where: times and rows worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from serve_app.batching.executing import About, Executing, Visit
from serve_app.batching.explaining import explained
from serve_app.types import BlockEntry, Timings

OWNERS = (BlockEntry(2, "a", explain=True), 2), (BlockEntry(1, "b"), 1), (BlockEntry(3, "c", explain=True), 3)
ABOUT = {
    "small": About("model", "models/small", "cpu", "fused"),
    "sure": About("cascade", placement="fused"),
    "big": About("model", "m.big-v1", "cuda:0", "own", inside="sure"),
    "far": About("remote", "host:1/far", "remote", "remote", inside="sure"),
}


def batch(*visits: Visit) -> Executing:
    return Executing(OWNERS, visits=list(visits), about=ABOUT)


def test_only_who_asks_is_told():
    told = explained(batch(Visit("small", 6, None, 10.0, 0.002)), 9.999)
    assert list(told) == [0, 2]
    (visit,) = told[0]
    assert (visit.node, visit.kind, visit.version, visit.device, visit.placement, visit.inside) == (
        *("small", "model", "models/small", "cpu", "fused"),
        "",
    )
    assert (visit.rows, visit.batch_rows) == (2, 6)
    assert told[2][0].rows == 3
    assert [visit.begin_ms, visit.ms, visit.compute_ms, visit.queue_ms] == pytest.approx([1, 2, 2, 0])


def test_a_runtime_that_is_no_graph_has_nothing_to_tell():
    assert explained(batch(), 0.0) == {}


def test_a_node_that_had_no_row_of_a_request_was_not_visited_for_it():
    chosen = np.array(["small", "big", "small", "big", "big", "small"], object)
    sure = Visit("sure", 6, None, 0.0, 0.010, chosen=chosen)
    big = Visit("big", 3, np.array([1, 3, 4]), 0.001, 0.008, Timings(0.002, 0.001, 0.004, 32))
    small = Visit("small", 3, np.array([0, 2, 5]), 0.001, 0.001)
    told = explained(batch(big, small, sure), 0.0)
    assert {one.node: one.rows for one in told[0]} == {"big": 1, "small": 1, "sure": 2}
    assert {one.node: one.chosen for one in told[0]}["sure"] == {"small": 1, "big": 1}
    assert {one.node: one.rows for one in told[2]} == {"big": 2, "small": 1, "sure": 3}
    assert {one.node: one.chosen for one in told[2]}["sure"] == {"big": 2, "small": 1}


def test_a_node_elsewhere_says_itself_where_its_time_went():
    big = Visit("big", 3, np.array([0, 3, 4]), 0.001, 0.008, Timings(0.002, 0.001, 0.004, 32))
    (told,) = explained(batch(big), 0.0)[0]
    assert [told.queue_ms, told.compute_ms, told.ms] == pytest.approx([2, 4, 8])
    assert (told.rows, told.batch_rows, told.device) == (1, 32, "cuda:0")


def test_of_a_remote_server_only_the_whole_time_is_known():
    (told,) = explained(batch(Visit("far", 6, None, 0.0, 0.004)), 0.0)[0]
    assert (told.ms, told.compute_ms, told.batch_rows) == (4, None, 6)


def test_a_router_s_own_time_is_without_what_it_executed_for_whomever():
    """Two branches from 1 to 5 and from 3 to 8 of 10 ms: 3 are the router's, though one had rows of the other only."""
    branches = Visit("big", 1, np.array([2]), 0.001, 0.004), Visit("far", 1, np.array([0]), 0.003, 0.005)
    told = explained(batch(*branches, Visit("sure", 6, None, 0.0, 0.010)), 0.0)[0]
    assert {one.node: one.compute_ms for one in told} == {"far": None, "sure": pytest.approx(3)}


def test_remembered_rows_are_counted_for_whose_they_are():
    cached = np.array([True, True, True, False, True, False])
    told = explained(batch(Visit("small", 6, None, 0.0, 0.001, cached=cached)), 0.0)
    assert (told[0][0].cached, told[2][0].cached) == (2, 1)
    assert (told[0][0].batch_rows, told[0][0].rows) == (2, 2)  # of the six, two had to be executed


def test_what_a_node_elsewhere_computed_before_it_failed_is_not_known():
    (told,) = explained(batch(Visit("big", 6, None, 0.0, 0.001, error="ReplicaLost")), 0.0)[0]
    assert (told.ms, told.compute_ms) == (1, None)


def test_why_a_node_gave_no_answer_is_told():
    assert explained(batch(Visit("small", 6, None, 0.0, 0.001, error="ModelRaised")), 0.0)[0][0].error == "ModelRaised"


def test_padding_is_nobody_s():
    """Six rows that were executed as eight; the two at the end chose as well."""
    chosen = np.array(["a", "a", "b", "b", "b", "b", "a", "a"], object)
    told = explained(batch(Visit("sure", 8, None, 0.0, 0.001, chosen=chosen)), 0.0)
    assert (told[0][0].chosen, told[2][0].chosen, told[2][0].batch_rows) == ({"a": 2}, {"b": 3}, 8)
