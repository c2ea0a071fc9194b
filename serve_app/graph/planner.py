"""A declared graph turned into steps in an order that works, or everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from graphlib import CycleError, TopologicalSorter

import numpy as np

from serve_app.config.graph import (
    CascadeNode,
    EnsembleNode,
    FallbackNode,
    GraphConfig,
    ModelNode,
    Node,
    SplitNode,
    SwitchNode,
    TransformNode,
    references_of,
    targets_of,
)
from serve_app.config.located import KeyPath
from serve_app.graph import routers
from serve_app.graph.combining import combining, uncombinable
from serve_app.graph.operations import Apply, planned
from serve_app.graph.plan import NodeModel, Plan
from serve_app.graph.steps import Branch, Execute, Run, Step, Steps, Values
from serve_app.types import Tensors, TensorSpec

OUTPUT = "y"
"""The output of nodes that have one."""


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
        self._steps: dict[str, Step] = {}
        self._routers: dict[str, str] = {}
        self._scopes: dict[str, tuple[str, ...]] = {}
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
        self._find_targets()
        order = self._order()
        self._find_scopes(order)
        for name in order:
            self._add(self._nodes[name])
        self._outputs()
        self._plan.steps = self._steps_of(())
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
        yield from targets_of(node)
        if isinstance(node, CascadeNode):
            yield node.first
        for _, reference in references_of(node):
            yield reference.partition(".")[0]

    def _find_targets(self) -> None:
        for name, node in self._nodes.items():
            for target in dict.fromkeys(targets_of(node)):
                if target not in self._nodes:
                    known = ", ".join(other for other in self._nodes if other != name) or "none"
                    self._find((self._index[name],), f"{target!r} is no node of this graph; there are: {known}")
                elif (other := self._routers.setdefault(target, name)) != name or self._is_twice(node, target):
                    self._find((self._index[name],), f"the node {target!r} is executed by {other!r} already")
                self._used.add(target)

    def _is_twice(self, node: Node, target: str) -> bool:
        return targets_of(node).count(target) > 1

    def _find_scopes(self, order: Sequence[str]) -> None:
        """Which branch each node belongs to: the innermost that all who need it are in."""
        takers: dict[str, list[str]] = {}
        for name in order:
            for need in {*self._needs(self._nodes[name])} - {*targets_of(self._nodes[name])}:
                takers.setdefault(need, []).append(name)
        wanted = {reference.partition(".")[0] for reference in self._graph.outputs.values()}
        for name in reversed(order):
            if name in self._routers:
                self._scopes[name] = (*self._scopes.get(self._routers[name], ()), name)
            else:
                scopes = [self._scopes[taker] for taker in takers.get(name, ())]
                self._scopes[name] = () if name in wanted else _common(scopes)

    def _steps_of(self, scope: tuple[str, ...]) -> Steps:
        return Steps(tuple(step for name, step in self._steps.items() if self._scopes[name] == scope))

    def _branches(self, node: Node) -> list[Branch] | None:
        """What a node executes itself; None if some of it cannot be planned."""
        targets = targets_of(node)
        if any(target in self._broken or target not in self._steps for target in targets):
            self._broken.add(node.name)
            return None
        return [
            Branch(target, self._steps_of((*self._scopes[node.name], target)), self._steps[target].outputs)
            for target in targets
        ]

    def _add(self, node: Node) -> None:
        at = self._index[node.name]
        before = len(self._plan.findings)
        if isinstance(node, TransformNode):
            self._transform(node, at)
        elif isinstance(node, ModelNode):
            self._model(node, at)
        elif isinstance(node, EnsembleNode):
            self._ensemble(node, at)
        elif isinstance(node, CascadeNode):
            self._cascade(node, at)
        else:
            self._router(node, at)
        if len(self._plan.findings) > before:
            self._broken.add(node.name)

    def _step(
        self,
        name: str,
        outputs: tuple[TensorSpec, ...],
        execute: Execute,
        needs: Sequence[str],
        branches: Sequence[Branch] = (),
    ) -> None:
        self._specs |= {f"{name}.{spec.name}": spec for spec in outputs}
        self._steps[name] = Step(
            name,
            outputs,
            frozenset(needs).union(*(branch.steps.needs for branch in branches)),
            execute,
        )

    def _spec(self, reference: str, path: KeyPath) -> TensorSpec | None:
        """What a reference means; None if it means nothing, which is said once."""
        node = reference.partition(".")[0]
        self._used.add(node)
        if node in self._broken:
            return None
        if node in self._routers:
            self._plan.findings.append(
                (path, f"{node!r} is executed only by {self._routers[node]!r}, not for every row")
            )
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

        def execute(values: Values, run: Run) -> Tensors:
            """The chain."""
            return {OUTPUT: reduce(lambda array, apply: apply(array), applies, values[source])}

        self._step(node.name, (replace(spec, name=OUTPUT),), execute, (source,))

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
        self._step(node.name, model.outputs, execute, tuple(sources.values()))

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
        branches = self._branches(node)
        if branches is None:
            return
        specs = [
            self._member(reference, ("nodes", at, "members", index), branches)
            for index, reference in enumerate(node.members)
        ]
        known = [spec for spec in specs if spec is not None]
        if len(known) < len(specs):
            self._broken.add(node.name)
            return
        first, skip = known[0], 1 if node.method == "stack" else 0
        for index, spec in enumerate(known):
            have, want = ((one.datatype, one.shape[: len(one.shape) - skip]) for one in (spec, first))
            if have != want:
                message = f"{node.members[index]} is {_said(spec)}, but {node.members[0]} is {_said(first)}"
                self._find((at, "members", index), message)
        if message := uncombinable(node.method, first):
            self._find((at, "members", 0), message)
            return
        combine, members, outputs = combining(node), node.members, (_combined(node, known),)
        if not node.quorum:

            def execute(values: Values, run: Run) -> Tensors:
                """The members' answers as one."""
                return {OUTPUT: combine([values[reference] for reference in members], range(len(members)))}

            self._step(node.name, outputs, execute, members)
            return
        pairs = [(branch, reference.partition(".")[2]) for branch, reference in zip(branches, members, strict=True)]
        chosen = routers.quorum(node.name, pairs, combine, node.quorum)
        self._step(node.name, outputs, chosen, (), branches)

    def _member(self, reference: str, path: KeyPath, branches: Sequence[Branch]) -> TensorSpec | None:
        if not branches:
            return self._spec(reference, path)
        spec = self._specs.get(reference)
        if spec is None:
            self._plan.findings.append((path, f"{reference!r} is no output of a node"))
        return spec

    def _cascade(self, node: CascadeNode, at: int) -> None:
        self._used.add(node.first)
        if node.first not in self._nodes:
            self._find((at, "first"), f"{node.first!r} is no node of this graph")
            return
        if node.first in self._routers:
            self._find((at, "first"), f"{node.first!r} is executed only by {self._routers[node.first]!r}")
            return
        branches = self._branches(node)
        if branches is None or node.first in self._broken or node.first not in self._steps:
            self._broken.add(node.name)
            return
        outputs = self._steps[node.first].outputs
        self._check_same(at, "then", (node.first, outputs), (node.then, branches[0].outputs))
        sure = [spec.name for spec in outputs if spec.datatype.is_float and len(spec.shape) == 2]
        if node.confidence not in sure:
            names = ", ".join(sure) or "none"
            self._find((at, "confidence"), f"{node.confidence!r} is no output with a float for each class: {names}")
        execute = routers.cascade(node.first, outputs, node.confidence, node.threshold, branches[0])
        self._step(node.name, outputs, execute, [f"{node.first}.{spec.name}" for spec in outputs], branches)

    def _router(self, node: SwitchNode | SplitNode | FallbackNode, at: int) -> None:
        if isinstance(node, SwitchNode) and not self._can_switch(node, at):
            return
        branches = self._branches(node)
        if branches is None:
            return
        first = branches[0]
        for branch in branches[1:]:
            self._check_same(at, "targets", (first.name, first.outputs), (branch.name, branch.outputs))
        by_name = {branch.name: branch for branch in branches}
        needs: tuple[str, ...] = ()
        if isinstance(node, SwitchNode):
            execute = routers.switch(node, by_name)
            needs = (node.input,) if node.input is not None else ()
        elif isinstance(node, SplitNode):
            execute = routers.split(node, by_name)
        else:
            execute = routers.fallback(node.name, branches)
        self._step(node.name, first.outputs, execute, needs, branches)

    def _can_switch(self, node: SwitchNode, at: int) -> bool:
        if node.input is None:
            return True
        spec = self._spec(node.input, ("nodes", at, "input"))
        if spec is None:
            self._broken.add(node.name)
        elif spec.datatype.is_float or len(spec.shape) != 1:
            self._find((at, "input"), f"a switch goes by an integer, BOOL or BYTES a row, not {_said(spec)}")
        return spec is not None

    def _check_same(
        self, at: int, key: str, one: tuple[str, tuple[TensorSpec, ...]], other: tuple[str, tuple[TensorSpec, ...]]
    ) -> None:
        """That what a second node gives can stand for what a first one does."""
        have = {spec.name: spec for spec in other[1]}
        for spec in one[1]:
            same = have.get(spec.name)
            if same is None or (same.datatype, same.shape) != (spec.datatype, spec.shape):
                said = "nothing of that name" if same is None else _said(same)
                self._find((at, key), f"{one[0]}.{spec.name} is {_said(spec)}, {other[0]} has {said}")

    def _outputs(self) -> None:
        found = []
        for name, reference in self._graph.outputs.items():
            spec = self._spec(reference, ("outputs", name))
            if spec is not None:
                found.append((replace(spec, name=name), reference))
        self._plan.outputs = tuple(spec for spec, _ in found)
        self._plan.references = tuple(reference for _, reference in found)


def _predicting(name: str, model: NodeModel, sources: Mapping[str, str]) -> Execute:
    def execute(values: Values, _: Run) -> Tensors:
        """The model on all rows."""
        if model.predict is None:
            raise NotImplementedError(f"{name} was planned without its model")
        return model.predict({name: np.ascontiguousarray(values[reference]) for name, reference in sources.items()})

    return execute


def _common(scopes: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The longest beginning that they share; of none, the empty one."""
    common: tuple[str, ...] = scopes[0] if scopes else ()
    for scope in scopes:
        length = next(
            (at for at, (one, other) in enumerate(zip(common, scope, strict=False)) if one != other),
            min(len(common), len(scope)),
        )
        common = common[:length]
    return common


def _combined(node: EnsembleNode, members: Sequence[TensorSpec]) -> TensorSpec:
    first = replace(members[0], name=OUTPUT)
    if node.method != "stack":
        return first
    last = [spec.shape[-1] for spec in members]
    return replace(first, shape=(*first.shape[:-1], -1 if -1 in last else sum(last)), labels=())


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
