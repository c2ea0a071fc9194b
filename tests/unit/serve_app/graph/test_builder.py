"""Graphs coded in Python."""

from typing import get_args

import pytest

from serve_app.config.graph import GraphConfig, Node
from serve_app.config.operations import Argmax, Scale
from serve_app.config.schema_findings import validate
from serve_app.errors import ConfigError
from serve_app.graph.builder import GraphBuilder

WRITTEN = {
    "inputs": [{"name": "pixels", "datatype": "FP32", "shape": [-1, 64]}],
    "nodes": [
        {"kind": "model", "name": "mlp", "source": "m", "inputs": {"image": "pixels"}},
        {"kind": "model", "name": "conv", "source": "c", "timeout_ms": 50},
        {
            "kind": "ensemble",
            "name": "mean",
            "method": "mean",
            "members": ["mlp.probabilities", "conv.probabilities"],
            "weights": [1, 2],
        },
        {
            "kind": "transform",
            "name": "best",
            "input": "mean.y",
            "steps": [{"op": "scale", "factor": 2}, {"op": "argmax"}],
        },
        {"kind": "model", "name": "other", "source": "o"},
        {"kind": "split", "name": "either", "weights": {"other": 1, "conv": 3}},
    ],
    "outputs": {"probabilities": "mean.y", "label": "best.y", "more": "either.probabilities"},
    "prediction": "label",
}


def test_code_gives_what_the_yaml_gives():
    g = GraphBuilder()
    pixels = g.input("pixels", "FP32", [-1, 64])
    mlp = g.model("mlp", source="m", inputs={"image": pixels})
    conv = g.model("conv", source="c", timeout_ms=50)
    mean = g.ensemble("mean", method="mean", members=[mlp["probabilities"], conv["probabilities"]], weights=(1, 2))
    best = g.transform("best", input=mean["y"], steps=[Scale(op="scale", factor=2), Argmax(op="argmax")])
    either = g.split("either", weights={g.model("other", source="o"): 1, conv: 3})
    for name, reference in {"probabilities": mean["y"], "label": best["y"], "more": either["probabilities"]}.items():
        g.output(name, reference)
    assert g.config(prediction="label") == GraphConfig.model_validate(WRITTEN)


def test_every_kind_of_node_has_a_method():
    union, _ = get_args(Node)
    kinds = [get_args(node.model_fields["kind"].annotation)[0] for node in get_args(union)]
    g = GraphBuilder()
    assert [kind for kind in kinds if getattr(g, kind)("a").name != "a"] == []
    g.input("x", "FP32", [-1])
    with pytest.raises(ConfigError) as error:
        g.config()
    assert f"nodes.{len(kinds) - 1}.targets: required key is missing" in str(error.value)
    assert "Input tag" not in str(error.value)


def test_errors_are_those_of_the_yaml():
    g = GraphBuilder()
    x = g.input("x", "FP32", [-1, 2])
    g.output("y", g.model("m", sorce="s", inputs={"x": x}, retries=9)["y"])
    written = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
        "nodes": [{"kind": "model", "name": "m", "sorce": "s", "inputs": {"x": "x"}, "retries": 9}],
        "outputs": {"y": "m.y"},
        "predictoin": "y",
    }
    _, findings = validate(GraphConfig, written)
    with pytest.raises(ConfigError) as error:
        g.config(predictoin="y")
    assert str(error.value) == "; ".join(f"{'.'.join(map(str, path))}: {message}" for path, message in findings)
    assert "nodes.0.sorce: unknown key; did you mean 'source'?" in str(error.value)


def test_a_kind_that_there_is_not_is_an_error():
    g = GraphBuilder()
    g.node("oracle", "o")
    with pytest.raises(ConfigError, match="oracle"):
        g.config()
