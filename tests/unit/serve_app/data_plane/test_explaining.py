"""What an answer was made of."""

from __future__ import annotations

from support.arithmetic import INFO

from serve_app.data_plane.explaining import visits_of
from serve_app.types import EntryResult, Timings
from serve_app.visits import NodeVisit

TIMINGS = Timings(0.25, 0.125, 0.5, 8)


def test_a_graph_tells_its_nodes():
    visits = (NodeVisit("a", 1, 0.0, 1.0, 8),)
    assert visits_of(EntryResult(None, TIMINGS, visits=visits), INFO, 1) is visits


def test_a_model_is_one_node_that_took_all_of_the_time():
    (told,) = visits_of(EntryResult(None, TIMINGS), INFO, 3)
    assert (told.node, told.version, told.device, told.kind) == ("arithmetic", "v1", "cpu", "model")
    assert (told.rows, told.batch_rows, told.begin_ms, told.ms, told.compute_ms) == (3, 8, 0, 500, 500)
