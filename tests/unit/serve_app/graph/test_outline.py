"""Outlines: order, placements, edges and times of a graph."""

from __future__ import annotations

import pytest

from serve_app.config.graph import GraphConfig
from serve_app.config.manifest import Manifest
from serve_app.config.release import ReleaseArgs
from serve_app.graph.outline import (
    Edge,
    Outline,
    Taken,
    Times,
    branch_labels,
    known_times,
    outline_of_graph,
    outline_of_model,
)
from serve_app.graph.placement import Placement
from serve_app.graph.plan import NodeModel
from serve_app.graph.planner import plan_graph

X = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
OUTPUTS = [{"name": "p", "datatype": "FP32", "shape": [-1, 2]}, {"name": "label", "datatype": "INT64", "shape": [-1]}]
PROFILE = {"device": "cpu", "threads": 2, "ms_by_rows": {8: 0.5, 1: 0.25}}
DIGEST = "a" * 64
MANIFEST = Manifest.model_validate(
    {"format": "onnx", "artifact": "m.onnx", "sha256": DIGEST, "inputs": [X], "outputs": OUTPUTS, "profile": PROFILE}
)
CASCADE = {"kind": "cascade", "name": "sure", "first": "small", "then": "big", "confidence": "p", "threshold": 0.9}
NODES = [
    CASCADE,
    {"kind": "model", "name": "big", "source": "b", "inputs": {"x": "half.y"}, "timeout_ms": 5},
    {"kind": "transform", "name": "half", "input": "x", "steps": [{"op": "scale", "factor": 0.5}]},
    {"kind": "model", "name": "small", "source": "s"},
]


def args_of(*nodes, outputs) -> ReleaseArgs:
    graph = {"inputs": [X], "nodes": list(nodes), "outputs": outputs}
    return ReleaseArgs.model_validate({"model": "m", "version": "v1", "slo_ms": 20, "graph": graph})


def outlined(*nodes, outputs, known=("big", "small"), home=Placement.FUSED) -> Outline:
    args = args_of(*nodes, outputs=outputs)
    manifests = dict.fromkeys(known, MANIFEST)
    specs = [tuple(config.spec for config in tensors) for tensors in (MANIFEST.inputs, MANIFEST.outputs)]
    plan = plan_graph(args.graph, dict.fromkeys(known, NodeModel(*specs)))
    assert plan.findings == []
    return outline_of_graph(args, args.graph, plan, manifests, home)


@pytest.fixture
def cascade() -> Outline:
    return outlined(*NODES, outputs={"p": "sure.p", "label": "sure.label"})


def test_nodes_are_in_the_order_of_data_each_with_its_router(cascade):
    assert [(node.name, node.router) for node in cascade.nodes] == [
        ("small", ""),
        ("half", "sure"),
        ("big", "sure"),
        ("sure", ""),
    ]
    assert (cascade.release, cascade.is_graph, [str(one) for one in cascade.settings]) == ("m-v1", True, ["slo_ms 20"])


def test_nodes_say_where_they_run_what_they_are_and_how_they_are_set(cascade):
    small, half, big, sure = cascade.nodes
    assert [node.placement for node in cascade.nodes] == ["fused", "fused", "own", "fused"]
    assert big.reason == "auto: timeout_ms 5"
    assert [(node.source, node.format) for node in (half, small, big)] == [("", ""), ("s", "onnx"), ("b", "onnx")]
    assert [str(setting) for setting in sure.settings] == ["confidence p", "threshold 0.9"]


def test_nodes_say_what_they_take_and_give(cascade):
    small, half, big, sure = cascade.nodes
    assert [(one.name, one.reference) for one in (*half.inputs, *small.inputs, *big.inputs)] == [
        ("", "x"),
        ("x", "x"),
        ("x", "half.y"),
    ]
    assert [(one.name, one.reference) for one in sure.inputs] == [("p", "small.p"), ("label", "small.label")]
    assert [spec.name for spec in sure.outputs] == ["p", "label"]
    assert big.inputs[0].spec.shape == (-1, 2)
    assert [(one.name, one.reference, one.spec.name) for one in cascade.outputs] == [
        ("p", "sure.p", "p"),
        ("label", "sure.label", "label"),
    ]


def test_what_is_for_some_of_the_rows_is_a_branch(cascade):
    assert set(cascade.edges) == {
        Edge("x", "half", "", True),
        Edge("x", "small", "", False),
        Edge("half", "big", "", False),
        Edge("small", "sure", "p, label", False),
        Edge("big", "sure", "p < 0.9", True),
    }


def test_members_of_a_quorum_are_branches_and_others_are_not():
    nodes = [{"kind": "model", "name": name, "source": "s"} for name in ("a", "b", "c")]
    mean = {"kind": "ensemble", "name": "mean", "method": "mean", "members": ["a.p", "b.p", "c.p"]}
    edges = {
        quorum: outlined(*nodes, {**mean, "quorum": quorum}, outputs={"y": "mean.y"}, known=("a", "b", "c")).edges
        for quorum in (None, 2)
    }
    assert {edge for edge in edges[None] if edge.end == "mean"} == {Edge(name, "mean", "p", False) for name in "abc"}
    assert {edge for edge in edges[2] if edge.end == "mean"} == {Edge(name, "mean", "member", True) for name in "abc"}


def test_a_model_that_is_not_on_this_machine_is_shown_as_far_as_it_is_known():
    far = {"kind": "model", "name": "far", "source": "s3://bucket/m", "inputs": {"x": "x"}}
    outline = outlined(far, outputs={"y": "far.p"}, known=())
    (node,) = outline.nodes
    assert (node.source, node.format, node.outputs, node.times) == ("s3://bucket/m", "", (), ())
    assert [one.reference for one in node.inputs] == ["x"]
    assert outline.outputs == (Taken("y", "far.p", None),)


def test_what_is_fused_is_inline_in_a_gateway():
    outline = outlined(*NODES, outputs={"p": "sure.p"}, home=Placement.INLINE)
    assert [node.placement for node in outline.nodes] == ["gateway inline", "gateway inline", "own", "gateway inline"]


def test_a_release_of_one_model_is_one_node():
    args = ReleaseArgs.model_validate({"model": "m", "version": "v1", "source": "models/m/v1"})
    outline = outline_of_model(args, MANIFEST, Placement.FUSED)
    (node,) = outline.nodes
    assert (outline.is_graph, outline.edges) == (False, (Edge("x", "m", "", False),))
    assert (node.name, node.source, node.format, node.reason) == (
        "m",
        "models/m/v1",
        "onnx",
        "it is the release's only model",
    )
    assert [one.reference for one in outline.outputs] == ["m.p", "m.label"]
    assert outline_of_model(args, None, Placement.FUSED).outputs == ()


def test_times_are_the_manifests_and_a_servers_come_first(cascade):
    small, *_ = cascade.nodes
    assert small.times == (Times.of({1: 0.25, 8: 0.5}, "when it was added, on cpu, 2 threads"),)
    learned = Times.of({1: 0.125}, "learned")
    outline = cascade.with_times(learned, {"small": learned})
    assert (outline.times, outline.nodes[0].times) == ((learned,), (learned, *small.times))
    assert cascade.with_times(Times.of({}, "learned"), {}).times == ()
    assert known_times(None) == known_times(MANIFEST.model_copy(update={"profile": None})) == ()


@pytest.mark.parametrize(
    ("most", "text"),
    [
        (2, "0.1 ms for 1 row, 0.9 ms for 9 rows"),
        (3, "0.1 ms for 1 row, 0.3 ms for 3 rows, 0.9 ms for 9 rows"),
        (9, "0.1 ms for 1 row, 0.2 ms for 2 rows, 0.3 ms for 3 rows, 0.4 ms for 4 rows, 0.9 ms for 9 rows"),
    ],
)
def test_a_few_times_are_said_the_smallest_and_the_largest_among_them(most, text):
    assert Times.of({9: 0.9, 2: 0.2, 3: 0.3, 1: 0.1, 4: 0.4}, "").said(most) == text
    assert Times.of({}, "").said(most) == ""


@pytest.mark.parametrize(
    ("node", "labels"),
    [
        (CASCADE, {"big": "p < 0.9"}),
        (
            {"kind": "switch", "parameter": "t", "cases": {"a": "n", "b": "m", "c": "n"}, "default": "o"},
            {"n": "a, c", "m": "b", "o": "else"},
        ),
        ({"kind": "split", "weights": {"n": 1, "m": 2}}, {"n": "33.3%", "m": "66.7%"}),
        ({"kind": "fallback", "targets": ["n", "m"]}, {"n": "1.", "m": "2."}),
        ({"kind": "race", "targets": ["n", "m"]}, {"n": "race", "m": "race"}),
        ({"kind": "ensemble", "method": "max", "members": ["n.y", "m.y"]}, {}),
    ],
)
def test_branches_say_when_they_are_taken(node, labels):
    graph = GraphConfig.model_validate({"inputs": [X], "nodes": [{"name": "r", **node}], "outputs": {"y": "x"}})
    assert branch_labels(graph.nodes[0]) == labels
