"""`Server-Timing`."""

from __future__ import annotations

import re

from serve_app.transport.server_timing import MAX_NODES, server_timing
from serve_app.types import InferenceResponse, Timings
from serve_app.visits import NodeVisit

TIMINGS = Timings(0.002, 0.001, 0.006, 8)
STAGES = "gateway;dur=1.000, queue;dur=2.500, batch;dur=1.000, compute;dur=6.000"


def told(*visits: NodeVisit) -> str:
    return server_timing(InferenceResponse("m", "v1", {}, timings=TIMINGS, queued_s=0.0005, visits=visits), 0.0105)


def test_an_answer_has_its_stages():
    assert told() == STAGES


def test_one_that_is_explained_has_the_nodes_that_were_waited_for():
    visits = (
        NodeVisit("beside", 1, 0.0, 2.0, 8),
        NodeVisit("first", 1, 0.0, 3.0, 8, version="models/first"),
        NodeVisit("sure", 1, 3.0, 2.5, 8),
        NodeVisit("then", 1, 3.5, 1.50049, 2, version='models/"é"\\', inside="sure"),
    )
    assert told(*visits) == (
        f'{STAGES}, node-first;dur=3.000;desc="models/first, 1 of 8 rows", '
        'node-sure;dur=0.999;desc="1 of 8 rows", node-then;dur=1.500;desc="models/????, 1 of 2 rows"'
    )


def test_a_node_that_was_visited_in_two_batches_is_one():
    assert told(NodeVisit("a", 4, 0.0, 2.0, 4), NodeVisit("a", 1, 2.0, 1.0, 1)).endswith(
        'compute;dur=6.000, node-a;dur=3.000;desc="4 of 4 rows"'
    )


def test_of_very_many_nodes_the_longest_are_told():
    visits, at = [], 0.0
    for number in range(100):
        visits.append(NodeVisit(f"n{number}", 1, at, float(number), 1))
        at += number
    names = re.findall(r"node-n(\d+);", told(*visits))
    assert [int(name) for name in names] == list(range(100 - MAX_NODES, 100))
