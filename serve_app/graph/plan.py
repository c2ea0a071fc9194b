"""A declared graph turned into steps in an order that works, or everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from graphlib import CycleError, TopologicalSorter

import numpy as np

from serve_app.config.graph import CascadeNode, EnsembleNode, GraphConfig, ModelNode, Node, TransformNode
from serve_app.config.located import KeyPath
from serve_app.config.unknown_keys import Finding
from serve_app.datatypes import Datatype
from serve_app.graph.operations import Apply, planned
from serve_app.types import Array, Tensors, TensorSpec

Values = dict[str, Array]
"""What has been computed so far, by reference."""

Execute = Callable[[Values], Tensors]
"""One node's work: its outputs by their own names."""

OUTPUT = "y"
"""The output of nodes that have one."""


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
        steps: Nodes by name, in an order in which everything is there when it is needed.
        findings: What is wrong, at its path within the graph; the steps are complete only if there is nothing.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...] = ()
    references: tuple[str, ...] = ()
    steps: list[tuple[str, Execute]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def run(self, inputs: Tensors) -> Tensors:
        """Execute the graph on whole arrays, in this thread.

        Args:
            inputs: Every input of the graph, all with the same rows.

        Returns:
            Every output, as many rows.

        Raises:
            ModelFailure, RequestError: What a model node raised.
        """
        values = dict(inputs)
        for name, execute in self.steps:
            for output, array in execute(values).items():
                values[f"{name}.{output}"] = array
        return {spec.name: values[reference] for spec, reference in zip(self.outputs, self.references, strict=True)}


def plan_graph(graph: GraphConfig, models: Mapping[str, NodeModel]) -> Plan:
    """Plan a graph.

    Args:
        graph: As declared.
        models: Of its model nodes, by node name; of one that is missing, nothing is said.
    """
    return _Planner(graph, models).plan()


class _Planner:
    def __init__(self, graph: GraphConfig, models: Mapping[str, NodeModel]) -> None:
        self._graph, self._models = graph, models
        self._plan = Plan(tuple(tensor.spec for tensor in graph.inputs))
        self._specs = {spec.name: spec for spec in self._plan.inputs}
        self._nodes: dict[str, Node] = {}
        self._index = {node.name: index for index, node in reversed(list(enumerate(graph.nodes)))}
        self._used: set[str] = set()
        self._lazy = {node.then for node in graph.nodes if isinstance(node, CascadeNode)}
        self._lazy_models: dict[str, tuple[Execute, dict[str, str]]] = {}
        self._broken: set[str] = set()

    def plan(self) -> Plan:
        """All of it."""
        for index, node in enumerate(self._graph.nodes):
            if node.name in self._nodes:
                self._find((index, "name"), f"a second node named {node.name!r}")
            elif taken := [name for name in self._specs if name == node.name or name.startswith(f"{node.name}.")]:
                self._find((index, "name"), f"{node.name!r} is an input's name already: {taken[0]!r}")
            else:
                self._nodes[node.name] = node
        for name in self._order():
            self._add(self._nodes[name])
        self._outputs()
        for name in self._nodes:
            if name not in self._used:
                self._find((self._index[name],), f"the node {name!r} is used by no other node and no output")
        return self._plan

    def _find(self, path: KeyPath, message: str) -> None:
        self._plan.findings.append((("nodes", *path), message))

    def _order(self) -> list[str]:
        """The nodes that can be planned: what is behind a wrong reference is left out with it."""
        needs = {name: {of for of in self._needs(node) if of in self._nodes} for name, node in self._nodes.items()}
        try:
            return list(TopologicalSorter(needs).static_order())
        except CycleError as error:
            circle: list[str] = error.args[1]
            self._find((self._index[circle[0]],), f"the nodes go in a circle: {' <- '.join(circle)}")
            self._used |= self._nodes.keys()
            self._broken |= self._nodes.keys()
            return []

    def _needs(self, node: Node) -> Iterator[str]:
        if isinstance(node, CascadeNode):
            yield from (node.first, node.then)
        for _, reference in _references(node):
            yield reference.partition(".")[0]

    def _add(self, node: Node) -> None:
        at = self._index[node.name]
        before = len(self._plan.findings)
        if isinstance(node, TransformNode):
            self._transform(node, at)
        elif isinstance(node, ModelNode):
            self._model(node, at)
        elif isinstance(node, EnsembleNode):
            self._ensemble(node, at)
        else:
            self._cascade(node, at)
        if len(self._plan.findings) > before:
            self._broken.add(node.name)

    def _step(self, name: str, outputs: tuple[TensorSpec, ...], execute: Execute) -> None:
        self._specs |= {f"{name}.{spec.name}": spec for spec in outputs}
        self._plan.steps.append((name, execute))

    def _spec(self, reference: str, path: KeyPath) -> TensorSpec | None:
        """What a reference means; None if it means nothing, which is said once."""
        node = reference.partition(".")[0]
        self._used.add(node)
        if node in self._broken:
            return None
        if node in self._lazy:
            self._plan.findings.append((path, f"{node!r} is executed only within a cascade, for some of the rows"))
            return None
        spec = self._specs.get(reference)
        if spec is None:
            known = ", ".join(self._specs) or "none"
            self._plan.findings.append((path, f"{reference!r} is not there; there are: {known}"))
        return spec

    def _transform(self, node: TransformNode, at: int) -> None:
        spec = self._spec(node.input, ("nodes", at, "input"))
        if spec is None:
            self._broken.add(node.name)
            return
        applies: list[Apply] = []
        for index, operation in enumerate(node.steps):
            try:
                spec, apply = planned(operation, spec)
            except ValueError as error:
                self._find((at, "steps", index), str(error))
                return
            applies.append(apply)
        source = node.input

        def execute(values: Values) -> Tensors:
            """The chain."""
            return {OUTPUT: reduce(lambda array, apply: apply(array), applies, values[source])}

        self._step(node.name, (replace(spec, name=OUTPUT),), execute)

    def _model(self, node: ModelNode, at: int) -> None:
        model = self._models.get(node.name)
        if model is None:
            self._broken.add(node.name)
            self._used |= {reference.partition(".")[0] for reference in node.inputs.values()}
            return
        known = {spec.name for spec in model.inputs}
        for name in node.inputs.keys() - known:
            self._find((at, "inputs", name), f"{node.source} has no input {name!r}; it has: {', '.join(sorted(known))}")
        sources = {want.name: self._source(node, at, want) for want in model.inputs}
        execute = _predicting(node.name, model, sources)
        if node.name in self._lazy:
            self._lazy_models[node.name] = execute, sources
            self._specs |= {f"{node.name}.{spec.name}": spec for spec in model.outputs}
        else:
            self._step(node.name, model.outputs, execute)

    def _source(self, node: ModelNode, at: int, want: TensorSpec) -> str:
        """Where a model's input comes from."""
        path: KeyPath = ("nodes", at, "inputs", want.name) if want.name in node.inputs else ("nodes", at)
        reference = node.inputs.get(want.name, want.name)
        have = self._spec(reference, path)
        if have is None:
            self._broken.add(node.name)
        elif message := _mismatch(reference, have, want):
            self._plan.findings.append((path, message))
        return reference

    def _ensemble(self, node: EnsembleNode, at: int) -> None:
        specs = [self._spec(reference, ("nodes", at, "members", i)) for i, reference in enumerate(node.members)]
        known = [spec for spec in specs if spec is not None]
        if len(known) < len(specs):
            self._broken.add(node.name)
            return
        first = known[0]
        for index, spec in enumerate(known):
            if (spec.datatype, spec.shape) != (first.datatype, first.shape):
                message = f"{node.members[index]} is {_said(spec)}, but {node.members[0]} is {_said(first)}"
                self._find((at, "members", index), message)
        if message := _uncombinable(node.method, first):
            self._find((at, "members", 0), message)
        combine = _combined(node)

        def execute(values: Values) -> Tensors:
            """The members' answers as one."""
            return {OUTPUT: combine([values[reference] for reference in node.members])}

        self._step(node.name, (replace(first, name=OUTPUT),), execute)

    def _cascade(self, node: CascadeNode, at: int) -> None:
        self._used |= {node.first, node.then}
        for key, name in (("first", node.first), ("then", node.then)):
            if not isinstance(self._nodes.get(name), ModelNode):
                self._find((at, key), f"{name!r} is no model node of this graph")
        if node.first in self._lazy:
            self._find((at, "first"), f"{node.first!r} is executed only for some of the rows, as 'then' of a cascade")
            return
        stages = {node.first, node.then}
        if stages & self._broken or not stages <= self._models.keys() or node.then not in self._lazy_models:
            self._broken.add(node.name)
            return
        outputs = self._models[node.first].outputs
        self._check_cascade(node, at, outputs)
        second, sources = self._lazy_models[node.then]

        def execute(values: Values) -> Tensors:
            """The first's answers, and for the rows under the threshold the second's."""
            answers = {spec.name: values[f"{node.first}.{spec.name}"] for spec in outputs}
            unsure = np.flatnonzero(answers[node.confidence].max(axis=-1) < node.threshold)
            if not len(unsure):
                return answers
            better = second({reference: values[reference][unsure] for reference in sources.values()})
            merged = {name: array.copy() for name, array in answers.items()}
            for name, array in merged.items():
                array[unsure] = better[name]
            return merged

        self._step(node.name, outputs, execute)

    def _check_cascade(self, node: CascadeNode, at: int, outputs: tuple[TensorSpec, ...]) -> None:
        others = {spec.name: spec for spec in self._models[node.then].outputs}
        for spec in outputs:
            other = others.get(spec.name)
            if other is None or (other.datatype, other.shape) != (spec.datatype, spec.shape):
                have = "nothing of that name" if other is None else _said(other)
                self._find((at, "then"), f"{node.first}.{spec.name} is {_said(spec)}, {node.then} has {have}")
        sure = [spec.name for spec in outputs if spec.datatype.is_float and len(spec.shape) == 2]
        if node.confidence not in sure:
            names = ", ".join(sure) or "none"
            self._find((at, "confidence"), f"{node.confidence!r} is no output with a float for each class: {names}")

    def _outputs(self) -> None:
        found = []
        for name, reference in self._graph.outputs.items():
            spec = self._spec(reference, ("outputs", name))
            if spec is not None:
                found.append((replace(spec, name=name), reference))
        self._plan.outputs = tuple(spec for spec, _ in found)
        self._plan.references = tuple(reference for _, reference in found)


def _predicting(name: str, model: NodeModel, sources: Mapping[str, str]) -> Execute:
    def execute(values: Values) -> Tensors:
        """The model on all rows."""
        if model.predict is None:
            raise NotImplementedError(f"{name} was planned without its model")
        return model.predict({name: np.ascontiguousarray(values[reference]) for name, reference in sources.items()})

    return execute


def _references(node: Node) -> Iterator[tuple[str, str]]:
    if isinstance(node, TransformNode):
        yield "input", node.input
    elif isinstance(node, ModelNode):
        yield from node.inputs.items()
    elif isinstance(node, EnsembleNode):
        yield from ((str(index), member) for index, member in enumerate(node.members))


def _uncombinable(method: str, spec: TensorSpec) -> str:
    """Why members of that kind cannot be combined so; empty if they can."""
    if method == "vote" and (spec.datatype is not Datatype.INT64 or len(spec.shape) != 1):
        return f"vote takes a label a row, INT64 of shape [-1], not {_said(spec)}"
    if method != "vote" and not spec.datatype.is_float:
        return f"{method} takes floats, not {spec.datatype}"
    return ""


def _combined(node: EnsembleNode) -> Callable[[list[Array]], Array]:
    weights = node.weights or (1.0,) * len(node.members)
    if node.method == "max":
        return np.maximum.reduce
    if node.method == "mean":
        return lambda members: np.average(np.stack(members), axis=0, weights=weights).astype(members[0].dtype)
    return lambda members: _most_voted(np.stack(members), np.array(weights))


def _most_voted(labels: Array, weights: Array) -> Array:
    """For each column of `labels` [members, n] the value whose members' weights sum to most, the lowest of equals."""
    values = np.unique(labels)
    votes = np.stack([weights @ (labels == value) for value in values])
    chosen: Array = values[votes.argmax(axis=0)]
    return chosen


def _mismatch(reference: str, have: TensorSpec, want: TensorSpec) -> str:
    """Why a tensor cannot be a model's input; empty if it can."""
    fits = len(have.shape) == len(want.shape) and all(
        want_axis in (-1, have_axis) for have_axis, want_axis in zip(have.shape, want.shape, strict=True)
    )
    if have.datatype is want.datatype and fits:
        return ""
    return f"{reference} is {_said(have)}, but the model's input {want.name!r} is {_said(want)}"


def _said(spec: TensorSpec) -> str:
    return f"{spec.datatype} {list(spec.shape)}"
