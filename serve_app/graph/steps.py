"""What a plan executes: steps in an order, some of them with branches for some of the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from serve_app.batching.executing import Executing
from serve_app.types import Array, Parameters, Tensors, TensorSpec

Values = dict[str, Array]
"""What has been computed so far, by reference."""


@dataclass(frozen=True, slots=True)
class Run:
    """A batch, or some of its rows, on its way through a graph.

    Attributes:
        executing: Whose rows they are.
        rows: Which of the batch's rows these are; None for all.
    """

    executing: Executing
    rows: Array | None = None

    def of(self, rows: Array) -> Run:
        """Some of these rows, by their index among them."""
        return Run(self.executing, rows if self.rows is None else self.rows[rows])

    def by_row(self, of_request: Callable[[Parameters, str], str], rows: int) -> Array:
        """What each row's request gives, from its parameters and its id.

        Args:
            of_request: Called once a request.
            rows: How many there are.

        Returns:
            An array of str objects; rows of nobody, as in a warm-up, count as a request without parameters.
        """
        owners = self.executing.owners
        values = [of_request(owner.parameters, owner.request_id) for owner, _ in owners] or [of_request({}, "")]
        counts = [count for _, count in owners] or [1]
        whole = np.repeat(np.array(values, object), counts)
        if self.rows is not None and len(owners) > 0:
            return whole[self.rows]
        return whole if len(whole) == rows else np.resize(whole, rows)


Execute = Callable[[Values, Run], Tensors]
"""One node's work: its outputs by their own names."""


@dataclass(frozen=True, slots=True)
class Step:
    """A planned node.

    Attributes:
        outputs: By their own names.
        needs: What it takes, by reference.
    """

    name: str
    outputs: tuple[TensorSpec, ...]
    needs: frozenset[str]
    execute: Execute


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps in an order in which everything is there when it is needed."""

    steps: tuple[Step, ...]

    @property
    def needs(self) -> frozenset[str]:
        """What they take from outside."""
        made = {f"{step.name}.{spec.name}" for step in self.steps for spec in step.outputs}
        return frozenset(reference for step in self.steps for reference in step.needs) - made

    def execute(self, values: Values, run: Run) -> None:
        """Execute them all, putting what they give into `values`."""
        for step in self.steps:
            for name, array in step.execute(values, run).items():
                values[f"{step.name}.{name}"] = array


@dataclass(frozen=True, slots=True)
class Branch:
    """A node that another one executes, with the nodes that only this one needs.

    Attributes:
        outputs: The node's.
    """

    name: str
    steps: Steps
    outputs: tuple[TensorSpec, ...]

    def execute(self, values: Values, run: Run, rows: Array | None = None) -> Tensors:
        """Execute it on some of the rows, or on all."""
        inner = {need: values[need] if rows is None else values[need][rows] for need in self.steps.needs}
        self.steps.execute(inner, run if rows is None else run.of(rows))
        return {spec.name: inner[f"{self.name}.{spec.name}"] for spec in self.outputs}
