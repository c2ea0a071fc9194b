"""How nodes hang together: their order, and the branch that each belongs to."""

from __future__ import annotations

from serve_app.config.graph import GraphConfig
from serve_app.graph.structure import after_s, needs_of, structure_of

X = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
HALF = {"kind": "transform", "name": "half", "input": "x", "steps": [{"op": "scale", "factor": 0.5}]}


def model(name, source="x"):
    return {"kind": "model", "name": name, "source": name, "inputs": {"x": source}}


FALLBACK = {"kind": "fallback", "name": "f", "targets": ["a", "b"]}


def structure(*nodes, output):
    return structure_of(GraphConfig.model_validate({"inputs": [X], "nodes": list(nodes), "outputs": {"y": output}}))


def test_every_node_comes_after_what_it_needs():
    found = structure(FALLBACK, model("b", "half.y"), model("a"), HALF, output="f.y")
    assert (found.findings, found.routers) == ([], {"a": "f", "b": "f"})
    places = {name: place for place, name in enumerate(found.order)}
    assert places["half"] < places["b"] < places["f"] > places["a"]


def test_what_only_one_branch_needs_belongs_to_it_and_what_two_need_to_neither():
    found = structure(FALLBACK, model("b", "half.y"), model("a"), HALF, output="f.y")
    assert found.scopes == {"f": (), "a": ("a",), "b": ("b",), "half": ("b",)}
    shared = structure(FALLBACK, model("b", "half.y"), model("a", "half.y"), HALF, output="f.y")
    assert shared.scopes["half"] == ()
    wanted = structure(FALLBACK, model("b", "half.y"), model("a"), HALF, output="half.y")
    assert wanted.scopes["half"] == ()


def test_a_cascade_needs_both_of_its_stages():
    cascade = {"kind": "cascade", "name": "c", "first": "a", "then": "b", "confidence": "y", "threshold": 0.5}
    found = structure(model("a"), model("b"), cascade, output="c.y")
    assert sorted(needs_of(found.nodes["c"])) == ["a", "b"]
    assert after_s(found, {"a": 1.0, "b": 2.0}) == {"a": 2.0, "b": 0.0, "c": 0.0}
