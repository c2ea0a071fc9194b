"""The time that is left, divided by what nodes take."""

from __future__ import annotations

import pytest

from serve_app.config.graph import GraphConfig
from serve_app.graph.shares import Shares
from serve_app.graph.structure import structure_of

X = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}


def model(name, source="x"):
    return {"kind": "model", "name": name, "source": name, "inputs": {"x": source}}


def shares(*nodes, last, **seconds) -> Shares:
    graph = GraphConfig.model_validate({"inputs": [X], "nodes": list(nodes), "outputs": {"y": f"{last}.y"}})
    return Shares(structure_of(graph), {name: {1: one} for name, one in seconds.items()})


def test_a_node_may_take_what_those_behind_it_do_not_need():
    chain = shares(model("a"), model("b", "a.y"), model("c", "b.y"), last="c", a=0.010, b=0.020, c=0.010)
    assert chain.of("a", 1, 0.080) == pytest.approx(0.050)
    assert chain.of("b", 1, 0.060) == pytest.approx(0.050)
    assert chain.of("c", 1, 0.030) == pytest.approx(0.030)


def test_where_there_is_too_little_each_has_its_share_of_it():
    chain = shares(model("a"), model("b", "a.y"), last="b", a=0.010, b=0.030)
    assert chain.of("a", 1, 0.020) == pytest.approx(0.005)


def test_of_two_branches_the_longer_one_counts():
    mean = {"kind": "ensemble", "name": "mean", "method": "mean", "members": ["b.y", "c.y"]}
    both = shares(model("a"), model("b", "a.y"), model("c", "a.y"), mean, last="mean", a=0.01, b=0.03, c=0.01)
    assert both.of("a", 1, 0.08) == pytest.approx(0.05)
    assert both.of("c", 1, 0.06) == pytest.approx(0.06)


def test_who_may_have_to_be_followed_leaves_time_for_it():
    fallback = {"kind": "fallback", "name": "f", "targets": ["a", "b"]}
    assert shares(model("a"), model("b"), fallback, last="f", a=0.01, b=0.03).of("a", 1, 0.08) == pytest.approx(0.05)
    cascade = {"kind": "cascade", "name": "f", "first": "a", "then": "b", "confidence": "y", "threshold": 0.5}
    assert shares(model("a"), model("b"), cascade, last="f", a=0.01, b=0.03).of("a", 1, 0.08) == pytest.approx(0.05)


def test_an_unknown_node_leaves_the_others_theirs():
    assert shares(model("a"), model("b", "a.y"), last="b", b=0.03).of("a", 1, 0.08) == pytest.approx(0.05)


def test_what_nodes_really_take_is_learned():
    chain = shares(model("a"), model("b", "a.y"), last="b", a=0.01, b=0.01)
    for _ in range(40):
        chain.observe("b", 1, 0.03)
        chain.observe("somebody", 1, 9.0)
    assert chain.of("a", 1, 0.08) == pytest.approx(0.05)
    assert chain.usual_s(1) == pytest.approx({"a": 0.01, "b": 0.03})
