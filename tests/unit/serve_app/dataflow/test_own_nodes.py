"""Nodes as releases of their own."""

from __future__ import annotations

import numpy as np
import pytest
from support.versions import doubling, write_version

from serve_app.config.release import ReleaseArgs
from serve_app.dataflow.model import load_model
from serve_app.dataflow.own_nodes import node_args
from serve_app.errors import ConfigError

HALF = {"kind": "transform", "name": "half", "input": "x", "steps": [{"op": "scale", "factor": 0.5}]}
ADDING = {
    "kind": "python",
    "name": "add",
    "python_class": f"{__name__}:Adding",
    "arguments": {"number": 3},
    "inputs": {"node": "half.y"},
    "outputs": [{"name": "sum", "datatype": "FP32", "shape": [-1, 2]}],
}


class Adding:
    """A number to each input's number."""

    def __init__(self, number: int = 0) -> None:
        self._number = np.float32(number)

    def setup(self, directory, device):
        assert (directory.is_dir(), device) == (True, "cpu")

    def predict(self, inputs):
        return {"sum": inputs["node"] + self._number}


def graph(*nodes, output, **changes) -> ReleaseArgs:
    x = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
    whole = {"inputs": [x], "nodes": list(nodes), "outputs": {"y": output}}
    return ReleaseArgs.model_validate(
        {"model": "m", "version": "v1", "accelerator": "cpu", "slo_ms": 50, "graph": whole, **changes}
    )


ROWS = {"x": np.array([[2, 4], [6, 8]], np.float32)}


def test_a_model_node_is_a_release_of_its_source(tmp_path):
    source = str(write_version(tmp_path, doubling(), {}))
    node = {"kind": "model", "name": "a", "source": source, "accelerator": "auto"}
    args = graph(node, output="a.y", batching={"max_rows": 7})
    own = node_args(args, args.graph.own[0])
    assert own.batching is None  # it is about the graph's rows
    assert (own.release, own.source, own.graph, own.accelerator, own.slo_ms) == ("m.a-v1", source, None, "auto", 50)
    np.testing.assert_array_equal(load_model(own).predict(ROWS)["y"], [[4, 8], [12, 16]])


def test_a_transform_is_a_graph_of_itself_alone():
    args = graph({**HALF, "placement": "own", "cache": {}}, output="half.y")
    own = node_args(args, args.graph.own[0])
    assert (own.release, own.graph.own) == ("m.half-v1", ())
    loaded = load_model(own)
    assert not loaded.waits
    assert [(spec.name, spec.shape) for spec in loaded.info.inputs] == [("x", (-1, 2))]
    np.testing.assert_array_equal(loaded.predict(ROWS)["y"], [[1, 2], [3, 4]])


def test_a_python_node_is_too_with_its_arguments_and_names():
    args = graph(HALF, {**ADDING, "timeout_ms": 100}, output="add.sum")
    own = node_args(args, args.graph.own[0])
    assert own.release == "m.add-v1"
    np.testing.assert_array_equal(load_model(own).predict({"node": ROWS["x"]})["sum"], [[5, 7], [9, 11]])


@pytest.mark.parametrize("placement", ["fused", "own"])
def test_a_python_node_answers_in_its_graph_wherever_it_is_placed(placement):
    loaded = load_model(graph(HALF, {**ADDING, "placement": placement}, output="add.sum"))
    assert loaded.waits == (placement == "own")
    np.testing.assert_array_equal(loaded.predict(ROWS)["y"], [[4, 5], [6, 7]])


def test_a_class_that_cannot_be_made_is_named():
    with pytest.raises(ConfigError, match=r"m\.add-v1 cannot be loaded: TypeError.*'colour'"):
        load_model(graph(HALF, {**ADDING, "arguments": {"colour": "red"}}, output="add.sum"))
    with pytest.raises(ConfigError, match=f"{__name__} has no class Nobody"):
        load_model(graph(HALF, {**ADDING, "python_class": f"{__name__}:Nobody"}, output="add.sum"))


def test_a_graph_that_cannot_be_planned_has_no_nodes():
    args = graph({**HALF, "input": "z", "placement": "own"}, output="half.y")
    with pytest.raises(ConfigError, match=r"m-v1: graph: nodes\.0\.input: 'z' is not there"):
        node_args(args, args.graph.own[0])
