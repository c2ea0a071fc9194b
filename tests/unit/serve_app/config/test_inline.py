"""What a release inside the gateway may be made of."""

import pytest
from pydantic import ValidationError

from serve_app.config.inline import InlineRelease

X = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
GRAPH = {
    "inputs": [X],
    "nodes": [{"kind": "transform", "name": "t", "input": "x", "steps": [{"op": "clip", "min": 0, "max": 1}]}],
    "outputs": {"y": "t.y"},
}


REMOTE = {"kind": "remote", "name": "r", "url": "host:1", "model": "m", "inputs": {"x": "x"}, "outputs": [X]}
OWN = {**GRAPH["nodes"][0], "name": "o", "placement": "own"}


def with_node(node):
    return {**GRAPH, "nodes": [*GRAPH["nodes"], node]}


def test_it_becomes_the_args_of_the_same_release_on_the_cpu():
    release = InlineRelease.model_validate(
        {"source": "s", "batching": {"max_rows": 4}, "python_class": "a:B", "trusted_sha256": ["a" * 64]}
    )
    args = release.args("m", "v2")
    assert (args.release, args.source, args.accelerator, args.python_class) == ("m-v2", "s", "cpu", "a:B")
    assert args.trusted_sha256 == ("a" * 64,)
    assert args.batching.model_fields_set == {"max_rows"}  # the others stay the manifest's


def test_a_graph_of_light_nodes_may_be_inline():
    assert InlineRelease.model_validate({"graph": GRAPH}).args("m", "v1").graph.nodes[0].name == "t"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "either source or graph must be given"),
        ({"source": "s", "model": "m"}, "Extra inputs are not permitted"),
        ({"source": "s", "accelerator": "gpu"}, "inside the gateway a release runs on the CPU"),
        ({"source": "s", "accelerator": "auto", "gpu_memory_mib": 100}, "has no effect inside the gateway"),
        ({"source": "s", "slo_ms": 0}, "greater than 0"),
        ({"graph": with_node(REMOTE)}, "node 'r' waits for another server"),
        ({"graph": with_node(OWN)}, r"node 'o' \(placement own\) needs replicas of its own"),
        ({"graph": with_node(OWN | {"placement": "auto", "timeout_ms": 5})}, r"node 'o' \(timeout_ms 5\) needs"),
    ],
)
def test_what_could_not_take_effect_is_refused(settings, says):
    with pytest.raises(ValidationError, match=says):
        InlineRelease.model_validate(settings)
