"""A planned graph: what it takes, does and gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from serve_app.batching.executing import current
from serve_app.config.unknown_keys import Finding
from serve_app.graph.steps import Run, Steps
from serve_app.types import Tensors, TensorSpec


@dataclass(frozen=True, slots=True)
class NodeModel:
    """A model node's version.

    Attributes:
        predict: None where only the signature is known.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    predict: Callable[[Tensors], Tensors] | None = None


@dataclass(slots=True)
class Plan:
    """What a graph does.

    Attributes:
        inputs: Of the graph.
        outputs: Its signature, in the declared order.
        references: Where each output comes from, in that order.
        steps: Of the nodes that are executed for every batch; the others are in branches of these.
        findings: What is wrong, at its path within the graph; the steps are complete only if there is nothing.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...] = ()
    references: tuple[str, ...] = ()
    steps: Steps = field(default_factory=lambda: Steps(()))
    findings: list[Finding] = field(default_factory=list)

    def run(self, inputs: Tensors) -> Tensors:
        """Execute the graph on whole arrays, in this thread.

        Args:
            inputs: Every input of the graph, all with the same rows.

        Returns:
            Every output, as many rows.

        Raises:
            ModelFailure, RequestError, CapacityError: What a node raised.
        """
        values = dict(inputs)
        self.steps.execute(values, Run(current()))
        return {spec.name: values[reference] for spec, reference in zip(self.outputs, self.references, strict=True)}
