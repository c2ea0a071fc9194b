"""A graph coded in Python: the cascade of configs/prod.yaml, for `import_path: graphs.digits_cascade:build`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serve_app.config.coded import with_graph
from serve_app.config.graph import GraphConfig
from serve_app.graph.builder import GraphBuilder

if TYPE_CHECKING:
    from ray.serve import Application


def graph() -> GraphConfig:
    """The conv net sees only the rows that the perceptron is unsure about."""
    g = GraphBuilder()
    g.input("pixels", "FP32", [-1, 64])  # both models have an input of that name
    mlp = g.model("mlp", source="models/digits/v1")
    conv = g.model("conv", source="models/digits-conv/v1")
    sure = g.cascade("sure", first=mlp, then=conv, confidence="probabilities", threshold=0.95)
    g.output("probabilities", sure["probabilities"])
    g.output("label", sure["label"])
    return g.config(prediction="label")


def build(args: dict[str, object]) -> Application:
    """A release of that graph; `args` follow `serve_app.config.release.ReleaseArgs` without `graph` and `source`."""
    from graphs import inference  # noqa: PLC0415 - it imports Ray, which `serve-app validate` does without

    return inference.build(with_graph(args, graph()))
