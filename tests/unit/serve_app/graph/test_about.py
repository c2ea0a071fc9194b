"""What explanations say of a graph's nodes."""

from __future__ import annotations

from serve_app.batching.executing import About
from serve_app.config.graph import GraphConfig
from serve_app.graph.about import about_nodes
from serve_app.graph.calls import Called
from serve_app.graph.plan import NodeModel
from serve_app.graph.structure import structure_of

X = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
Y = {"name": "y", "datatype": "FP32", "shape": [-1, 2]}
GRAPH = GraphConfig.model_validate(
    {
        "inputs": [X],
        "nodes": [
            {"kind": "transform", "name": "scaled", "input": "x", "steps": [{"op": "scale", "factor": 2}]},
            {"kind": "model", "name": "near", "source": "models/near"},
            {"kind": "model", "name": "own", "source": "models/own", "placement": "own", "inputs": {"x": "scaled.y"}},
            {"kind": "remote", "name": "far", "url": "h:1", "model": "m", "inputs": {"x": "x"}, "outputs": [Y]},
            {"kind": "split", "name": "inner", "weights": {"own": 1, "far": 1}},
            {"kind": "fallback", "name": "outer", "targets": ["near", "inner"]},
        ],
        "outputs": {"y": "outer.y"},
    }
)


async def call(inputs, left_s):
    return Called(dict(inputs))


MODELS = {
    "near": NodeModel((), (), dict, version="models/near"),
    "own": NodeModel((), (), call=call, version="m.own-v1", device="cuda:0"),
    "far": NodeModel((), (), call=call, version="h:1/m", device="remote"),
}


def test_each_node_has_its_kind_its_place_and_the_router_around_it():
    assert about_nodes(structure_of(GRAPH), MODELS) == {
        "scaled": About("transform", "", "", "fused", "inner"),
        "near": About("model", "models/near", "cpu", "fused", "outer"),
        "own": About("model", "m.own-v1", "cuda:0", "own", "inner"),
        "far": About("remote", "h:1/m", "remote", "remote", "inner"),
        "inner": About("split", "", "", "fused", "outer"),
        "outer": About("fallback", "", "", "fused", ""),
    }
