"""What of the nodes' time an answer waited for: graphs whose times are worked out by hand."""

from __future__ import annotations

import pytest

from serve_app.visits import CANCELLED, NodeVisit, critical_path


def visit(node: str, begin_ms: float, end_ms: float, inside: str = "", **more) -> NodeVisit:
    return NodeVisit(node, 1, begin_ms, end_ms - begin_ms, 1, inside=inside, **more)


def path(*visits: NodeVisit) -> list[tuple[str, float]]:
    shares = critical_path(visits)
    assert sum(share.ms for share in shares) <= max(one.end_ms for one in visits) + 1e-9
    return [(share.visit.node, pytest.approx(share.ms)) for share in shares]


def test_nothing_was_waited_for_where_nothing_was_done():
    assert critical_path(()) == ()


def test_a_chain_is_waited_for_link_by_link():
    assert path(visit("a", 0, 2), visit("b", 2, 5), visit("c", 5.5, 6)) == [("a", 2), ("b", 3), ("c", 0.5)]


def test_of_parallel_branches_the_longest_is_waited_for():
    together = [visit("short", 0, 3), visit("long", 0, 7), visit("combined", 7, 8)]
    assert path(*together) == path(*reversed(together)) == [("long", 7), ("combined", 1)]


def test_of_two_chains_side_by_side_the_later_one_is_waited_for():
    one, other = [visit("a1", 0, 2), visit("a2", 2, 9)], [visit("b1", 0, 6), visit("b2", 6, 8)]
    assert path(*one, *other, visit("combined", 9, 10)) == [("a1", 2), ("a2", 7), ("combined", 1)]


def test_a_router_s_time_is_that_of_its_branch_and_the_rest_its_own():
    inner = [visit("scaled", 2, 3, "switch"), visit("big", 3, 9, "switch")]
    assert path(visit("small", 0, 1), visit("switch", 1, 10), *inner) == [
        ("small", 1),
        ("switch", 2),
        ("scaled", 1),
        ("big", 6),
    ]


def test_a_router_inside_of_a_router():
    visits = [
        visit("outer", 0, 20),
        visit("inner", 1, 15, "outer"),
        visit("a", 2, 5, "inner"),
        visit("b", 2, 14, "inner"),
        visit("c", 1, 8, "outer"),
    ]
    assert path(*visits) == [("outer", 6), ("inner", 2), ("b", 12)]


def test_what_is_beside_a_router_is_not_a_part_of_it():
    assert path(visit("beside", 1, 9), visit("router", 0, 10), visit("branch", 3, 6, "router")) == [
        ("router", 7),
        ("branch", 3),
    ]


def test_a_cascade_waits_for_its_second_node_even_if_that_had_only_rows_of_others():
    first, cascade, second = visit("first", 0, 2), visit("cascade", 2, 10), visit("second", 3, 9, "cascade")
    assert path(first, cascade, second) == [("first", 2), ("cascade", 2), ("second", 6)]
    assert path(first, cascade) == [("first", 2), ("cascade", 8)]


def test_a_quorum_has_waited_for_the_member_that_was_late():
    members = [visit("a", 0, 2, "quorum"), visit("b", 0, 3, "quorum"), visit("c", 0, 10, "quorum", error=CANCELLED)]
    assert path(visit("quorum", 0, 11), *members) == [("quorum", 1), ("c", 10)]


def test_a_race_has_not_waited_for_the_node_that_lost():
    nodes = [visit("won", 0, 4, "race"), visit("lost", 0, 4.5, "race", error=CANCELLED)]
    assert path(visit("race", 0, 5, chosen={"won": 1}), *nodes) == [("race", 1), ("won", 4)]


def test_a_fallback_has_waited_for_what_failed_before():
    nodes = [visit("broken", 0, 4, "fallback", error="ModelRaised"), visit("spare", 4, 6, "fallback")]
    assert path(visit("fallback", 0, 7, chosen={"spare": 1}), *nodes) == [("fallback", 1), ("broken", 4), ("spare", 2)]


def test_a_request_in_two_batches_waited_for_both():
    one = [visit("router", 0, 5), visit("branch", 1, 4, "router")]
    other = [visit("router", 5, 12), visit("branch", 6, 11, "router")]
    assert path(*one, *other) == [("router", 2), ("branch", 3), ("router", 2), ("branch", 5)]


def test_sums_of_floats_are_no_overlap():
    assert path(visit("a", 0.1, 0.1 + 0.2), visit("b", 0.3, 0.4)) == [("a", 0.2), ("b", 0.1)]


def test_what_took_no_time_is_not_the_longer_of_two_that_ended_together():
    assert path(visit("a", 0, 5), visit("b", 5, 5)) == [("a", 5)]
