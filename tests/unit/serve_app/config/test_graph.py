"""The schema of graphs: what it refuses, with a sentence."""

from __future__ import annotations

import pytest

from serve_app.config.graph import TransformNode, references_of
from serve_app.config.release import ReleaseArgs
from serve_app.config.schema_findings import validate

NODE = {"kind": "transform", "name": "t", "input": "x", "steps": [{"op": "softmax"}]}
GRAPH = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}], "nodes": [NODE], "outputs": {"y": "t.y"}}


def findings(graph=GRAPH, **changes) -> list[tuple[str, str]]:
    release = {"model": "m", "version": "v1", "graph": graph, **changes}
    found = validate(ReleaseArgs, release)[1]
    return [(".".join(map(str, path)), message) for path, message in found]


def test_a_whole_graph_is_taken():
    assert findings() == []


@pytest.mark.parametrize(
    ("node", "path", "says"),
    [
        ({"kind": "transfrom"}, "graph.nodes.0", "transfrom"),
        ({"name": "a.b"}, "graph.nodes.0.name", "a.b"),
        ({"steps": []}, "graph.nodes.0.steps", "at least 1"),
        ({"steps": [{"op": "sofmax"}]}, "graph.nodes.0.steps.0", "sofmax"),
        ({"steps": [{"op": "scale", "facto": 2}]}, "graph.nodes.0.steps.0.facto", "did you mean 'factor'?"),
        ({"steps": [{"op": "clip", "min": 2, "max": 1}]}, "graph.nodes.0.steps.0", "min 2 is over max 1"),
        ({"steps": [{"op": "standardise", "mean": [1, 2], "std": [1]}]}, "graph.nodes.0.steps.0", "mean has 2 numbers"),
        ({"inputs": "x"}, "graph.nodes.0.inputs", "did you mean 'input'?"),
        ({"input": ["x"]}, "graph.nodes.0.input", "at least 2"),
        ({"input": 3}, "graph.nodes.0.input", "must be a valid string"),
    ],
)
def test_a_node_that_is_wrong_is_found_at_its_place(node, path, says):
    found = findings({**GRAPH, "nodes": [{**NODE, **node}]})
    assert any(place.startswith(path) and says in message for place, message in found), found


def test_a_transform_takes_one_input_or_a_list():
    one, both = (TransformNode.model_validate({**NODE, "input": given}) for given in ("x", ["x", "a.y"]))
    assert (one.inputs, both.inputs) == ({"x": "x"}, {"x0": "x", "x1": "a.y"})
    assert [reference for _, reference in references_of(both)] == ["x", "a.y"]


MEMBERS = {"kind": "ensemble", "name": "e", "members": ["a", "b"]}


@pytest.mark.parametrize(
    ("node", "says"),
    [
        ({"method": "max", "weights": [1, 2]}, "weights have no effect on method max"),
        ({"method": "mean", "weights": [1]}, "there are 1 weights for 2 members"),
        ({"method": "median"}, "median"),
        ({"method": "mean", "members": ["a"]}, "at least 2"),
    ],
)
def test_an_ensemble_that_cannot_be(node, says):
    found = findings({**GRAPH, "nodes": [{**MEMBERS, **node}]})
    assert any(says in message for _, message in found), found


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"inputs": 2 * GRAPH["inputs"]}, "inputs have a name twice: x, x"),
        ({"golden": [{"inputs": {"z": [1]}, "outputs": {"y": [1]}}]}, "golden 0 must give every input: x"),
        ({"golden": [{"inputs": {"x": [1]}, "outputs": {"z": [1]}}]}, "golden 0 expects unknown output 'z'"),
        ({"prediction": "z"}, "prediction 'z' is not among outputs: y"),
    ],
)
def test_names_are_known(changes, says):
    found = findings({**GRAPH, **changes})
    assert any(says in message for _, message in found), found


def test_either_a_source_or_a_graph():
    assert any("either source or graph" in message for _, message in findings(source="models/m/v1"))
    assert any("either source or graph" in message for _, message in findings(None))
    assert any("belongs to a node" in message for _, message in findings(python_class="a:B"))
    assert any("no effect on a graph yet" in message for _, message in findings(runtime={"instances": 2}))
