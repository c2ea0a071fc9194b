"""The graph of a release: nodes that take tensors from its inputs or from each other, as the YAML declares them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from serve_app.config.base import Number, PositiveFloat, StrictModel
from serve_app.config.operations import Operation
from serve_app.config.tensors import GoldenConfig, TensorConfig, TensorName

NodeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=256)]
"""A graph input's name, or `node.output`."""


class TransformNode(StrictModel):
    """A chain of operations on one tensor; its output is `y`."""

    kind: Literal["transform"]
    name: NodeName
    input: Reference
    steps: tuple[Operation, ...] = Field(min_length=1)


class ModelNode(StrictModel):
    """A version from a model repository; its outputs are the model's."""

    kind: Literal["model"]
    name: NodeName
    source: str = Field(min_length=1, description="Directory of model.yaml: a local path or any fsspec URL.")
    inputs: Mapping[TensorName, Reference] = Field(
        default={}, description="Where the model's inputs come from; one left out is the graph's of the same name."
    )
    python_class: str | None = Field(default=None, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")


class EnsembleNode(StrictModel):
    """One answer from several; `y` is as the members are."""

    kind: Literal["ensemble"]
    name: NodeName
    method: Literal["mean", "max", "vote"] = Field(
        description="mean and max are of each number; vote takes INT64 labels, the lowest of those with most votes."
    )
    members: tuple[Reference, ...] = Field(min_length=2)
    weights: tuple[PositiveFloat, ...] = Field(default=(), description="Of the members; for mean and vote.")

    @model_validator(mode="after")
    def _weights_fit(self) -> EnsembleNode:
        if self.weights and self.method == "max":
            raise ValueError("weights have no effect on method max")
        if self.weights and len(self.weights) != len(self.members):
            raise ValueError(f"there are {len(self.weights)} weights for {len(self.members)} members")
        return self


class CascadeNode(StrictModel):
    """The first model's answer where it is sure, a second one's for the other rows; only those are executed by it."""

    kind: Literal["cascade"]
    name: NodeName
    first: NodeName = Field(description="A model node.")
    then: NodeName = Field(description="A model node that is in no other node's inputs; it has the first's outputs.")
    confidence: TensorName = Field(description="Output of the first whose largest number in a row is its confidence.")
    threshold: Number = Field(description="A row under it goes on to the second.")


Node = Annotated[TransformNode | ModelNode | EnsembleNode | CascadeNode, Field(discriminator="kind")]


class GraphConfig(StrictModel):
    """What a release of several nodes takes, does and gives."""

    inputs: tuple[TensorConfig, ...] = Field(min_length=1)
    nodes: tuple[Node, ...] = Field(min_length=1)
    outputs: Mapping[TensorName, Reference] = Field(min_length=1, description="The release's outputs, in this order.")
    prediction: TensorName | None = Field(default=None, description="The output that POST /predict answers with.")
    golden: tuple[GoldenConfig, ...] = ()

    @model_validator(mode="after")
    def _names_are_known(self) -> GraphConfig:
        inputs = [tensor.name for tensor in self.inputs]
        if len(set(inputs)) != len(inputs):
            raise ValueError(f"inputs have a name twice: {', '.join(inputs)}")
        for index, golden in enumerate(self.golden):
            if set(golden.inputs) != set(inputs):
                raise ValueError(f"golden {index} must give every input: {', '.join(sorted(inputs))}")
            if unknown := sorted(set(golden.outputs) - set(self.outputs)):
                raise ValueError(f"golden {index} expects unknown output {unknown[0]!r}")
        if self.prediction is not None and self.prediction not in self.outputs:
            raise ValueError(f"prediction {self.prediction!r} is not among outputs: {', '.join(self.outputs)}")
        return self

    @property
    def models(self) -> Iterator[tuple[int, ModelNode]]:
        """The nodes that are model versions, with their index."""
        return ((index, node) for index, node in enumerate(self.nodes) if isinstance(node, ModelNode))
