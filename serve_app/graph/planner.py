"""A declared graph turned into steps in an order that works, or everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from serve_app.batching.executing import Visit
from serve_app.config.graph import (
    CascadeNode,
    ComputingNode,
    EnsembleNode,
    FallbackNode,
    GraphConfig,
    ModelNode,
    Node,
    PythonNode,
    RaceNode,
    RemoteNode,
    SplitNode,
    SwitchNode,
    TransformNode,
    targets_of,
)
from serve_app.config.located import KeyPath
from serve_app.graph import routers
from serve_app.graph.about import about_nodes
from serve_app.graph.cache import CachedNode
from serve_app.graph.calls import Limits
from serve_app.graph.chains import OUTPUT, Chain, UnfitStep
from serve_app.graph.combining import combining, uncombinable
from serve_app.graph.computing import calling, in_thread, limited, predicting
from serve_app.graph.fitting import combined, mismatch, other_outputs, said, uncombined
from serve_app.graph.plan import NodeModel, Plan
from serve_app.graph.shares import Shares
from serve_app.graph.steps import Branch, Execute, Run, Step, Steps, Values
from serve_app.graph.structure import structure_of
from serve_app.types import Tensors, TensorSpec


def plan_graph(graph: GraphConfig, models: Mapping[str, NodeModel]) -> Plan:
    """Plan a graph.

    Args:
        graph: As declared.
        models: Of its model nodes, by node name; of one that is missing, nothing is said. Remote and python nodes, and
            transforms on replicas of their own, need one only to be executed.
    """
    return _Planner(graph, models).plan()


class _Planner:
    def __init__(self, graph: GraphConfig, models: Mapping[str, NodeModel]) -> None:
        self._graph, self._models = graph, models
        self._structure = structure_of(graph)
        self._plan = Plan(tuple(tensor.spec for tensor in graph.inputs), findings=self._structure.findings)
        self._specs = {spec.name: spec for spec in self._plan.inputs}
        self._steps: dict[str, Step] = {}
        self._broken = set() if self._structure.order else set(self._structure.nodes)
        self._waits = any(isinstance(node, RemoteNode) for node in graph.nodes) or bool(graph.own)
        self._shares = Shares(self._structure, {name: model.profile for name, model in models.items()})

    def plan(self) -> Plan:
        """All of it."""
        nodes, index, used = self._structure.nodes, self._structure.index, self._structure.used
        for name in self._structure.order:
            self._add(nodes[name])
        self._outputs()
        self._plan.specs = self._specs
        self._plan.steps = self._steps_of(())
        self._plan.about = about_nodes(self._structure, self._models)
        for name in nodes:
            if name not in used:
                self._structure.find((index[name],), f"the node {name!r} is used by no other node and no output")
        return self._plan

    def _find(self, path: KeyPath, message: str) -> None:
        self._structure.find(path, message)

    def _steps_of(self, scope: tuple[str, ...]) -> Steps:
        return Steps(tuple(step for name, step in self._steps.items() if self._structure.scopes[name] == scope))

    def _branches(self, node: Node) -> list[Branch] | None:
        """What a node executes itself; None if some of it cannot be planned."""
        targets = targets_of(node)
        if any(target in self._broken or target not in self._steps for target in targets):
            self._broken.add(node.name)
            return None
        return [
            Branch(target, self._steps_of((*self._structure.scopes[node.name], target)), self._steps[target].outputs)
            for target in targets
        ]

    def _add(self, node: Node) -> None:
        at = self._structure.index[node.name]
        before = len(self._plan.findings)
        if isinstance(node, TransformNode):
            self._transform(node, at)
        elif isinstance(node, ModelNode):
            self._model(node, at)
        elif isinstance(node, PythonNode | RemoteNode):
            self._declared(node, at)
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
        node: Node,
        outputs: tuple[TensorSpec, ...],
        execute: Execute,
        needs: Sequence[str],
        branches: Sequence[Branch] = (),
        *,
        waits: bool = False,
    ) -> None:
        waits = waits or any(branch.steps.waits for branch in branches)
        needs = sorted({*needs}.union(*(branch.steps.needs for branch in branches)))
        if branches and not isinstance(node, EnsembleNode):
            execute = self._limited(node, execute, waits=waits)
        why_fresh = _why_fresh(node, branches)
        if node.cache is not None:
            execute = self._cached(node, execute, needs, outputs)
            if why_fresh:
                self._find(
                    (self._structure.index[node.name], "cache"), f"cache goes by the inputs alone, but {why_fresh}"
                )
        self._specs |= {f"{node.name}.{spec.name}": spec for spec in outputs}
        self._steps[node.name] = Step(node.name, outputs, frozenset(needs), execute, waits, why_fresh)

    def _limited(self, node: Node, execute: Execute, *, waits: bool) -> Execute:
        """A router within its limits."""
        if node.timeout_ms is None and not node.retries:
            return execute
        if not waits:
            setting = "retries" if node.timeout_ms is None else "timeout_ms"
            message = "what it executes is fused, so it can neither be left nor lost; placement: own can"
            self._find((self._structure.index[node.name], setting), message)
        return limited(_limits(node), execute)

    def _cached(self, node: Node, execute: Execute, needs: Sequence[str], outputs: tuple[TensorSpec, ...]) -> Execute:
        free = [spec for spec in outputs if -1 in spec.shape[1:]]
        if free:
            message = f"rows of {node.name}.{free[0].name} have any length, {said(free[0])}, and cannot be remembered"
            self._find((self._structure.index[node.name], "cache"), message)
        names = [spec.name for spec in outputs]
        return CachedNode(execute, needs, names, node.cache.max_bytes if node.cache else 0)

    def _spec(self, reference: str, path: KeyPath) -> TensorSpec | None:
        """What a reference means; None if it means nothing, which is said once."""
        node = reference.partition(".")[0]
        self._structure.used.add(node)
        if node in self._broken:
            return None
        if node in self._structure.routers:
            self._plan.findings.append(
                (path, f"{node!r} is executed only by {self._structure.routers[node]!r}, not for every row")
            )
            return None
        spec = self._specs.get(reference)
        if spec is None:
            known = ", ".join(self._specs) or "none"
            self._plan.findings.append((path, f"{reference!r} is not there; there are: {known}"))
        return spec

    def _transform(self, node: TransformNode, at: int) -> None:
        path: KeyPath = ("nodes", at, "input")
        paths = [path] if isinstance(node.input, str) else [(*path, index) for index in range(len(node.input))]
        specs = [self._spec(reference, path) for reference, path in zip(node.inputs.values(), paths, strict=True)]
        known = [spec for spec in specs if spec is not None]
        if len(known) < len(specs):
            self._broken.add(node.name)
            return
        try:
            chain = Chain(node, known)
        except UnfitStep as unfit:
            self._find((at, "steps", unfit.step), unfit.reason)
            return
        self._plan.add_chain(chain, is_here=node.name not in self._models)
        if node.is_own:
            self._computed(node, NodeModel((), chain.outputs, chain.predict), node.inputs)
            return
        is_slow = self._waits and chain.takes_long
        execute = in_thread(self._plan.loop.thread(node.name), chain.answer) if is_slow else chain.execute
        self._step(node, chain.outputs, execute, tuple(node.inputs.values()), waits=is_slow)

    def _model(self, node: ModelNode, at: int) -> None:
        model = self._models.get(node.name)
        if model is None:
            self._broken.add(node.name)
            self._structure.used |= {reference.partition(".")[0] for reference in node.inputs.values()}
            return
        known = {spec.name for spec in model.inputs}
        for name in node.inputs.keys() - known:
            self._find((at, "inputs", name), f"{node.source} has no input {name!r}; it has: {', '.join(sorted(known))}")
        sources = {want.name: self._source(node, at, want) for want in model.inputs}
        if node.is_own and model.is_ragged:  # replicas of its own would make a mask of what is padding here
            self._find((at, "placement"), f"{node.source} has batching.ragged, which is for fused nodes only")
        self._computed(node, model, sources)

    def _declared(self, node: PythonNode | RemoteNode, at: int) -> None:
        specs = [self._spec(reference, ("nodes", at, "inputs", name)) for name, reference in node.inputs.items()]
        if None in specs:
            self._broken.add(node.name)
            return
        self._computed(node, NodeModel((), tuple(config.spec for config in node.outputs)), node.inputs)

    def _computed(self, node: ComputingNode | RemoteNode, local: NodeModel, sources: Mapping[str, str]) -> None:
        """A node by the model that was given for it, else by what is known of it here."""
        model = self._models.get(node.name, local)
        is_elsewhere = isinstance(node, RemoteNode) or node.is_own
        waits = is_elsewhere or (self._waits and not isinstance(node, TransformNode))
        if waits:
            call = model.call or (self._plan.loop.threaded(model.predict, node.name) if model.predict else None)
            limits = _limits(node) if is_elsewhere else Limits(node.name)
            execute = calling(limits, call, sources, self._shares, is_elsewhere=is_elsewhere)
        else:
            execute = predicting(node.name, model, sources)
        self._step(node, local.outputs, execute, tuple(sources.values()), waits=waits)

    def _source(self, node: ModelNode, at: int, want: TensorSpec) -> str:
        """Where a model's input comes from."""
        path: KeyPath = ("nodes", at, "inputs", want.name) if want.name in node.inputs else ("nodes", at)
        reference = node.inputs.get(want.name, want.name)
        have = self._spec(reference, path)
        if have is None:
            self._broken.add(node.name)
        elif message := mismatch(reference, have, want):
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
        for index, message in uncombined(node, known):
            self._find((at, "members", index), message)
        if message := uncombinable(node.method, known[0]):
            self._find((at, "members", 0), message)
            return
        combine, members, outputs = combining(node), node.members, (combined(node, known, OUTPUT),)
        if not node.quorum:

            async def execute(values: Values, run: Run, visit: Visit) -> Tensors:
                """The members' answers as one."""
                return {OUTPUT: combine([values[reference] for reference in members], range(len(members)))}

            self._step(node, outputs, execute, members)
            return
        pairs = [(branch, reference.partition(".")[2]) for branch, reference in zip(branches, members, strict=True)]
        if node.timeout_ms and not any(branch.steps.waits for branch in branches):
            self._find((at, "timeout_ms"), "every member is fused, so none can be left; placement: own can")
        timeout_s = node.timeout_ms / 1000 if node.timeout_ms else None
        chosen = routers.quorum(node.name, pairs, combine, node.quorum, timeout_s)
        self._step(node, outputs, chosen, (), branches)

    def _member(self, reference: str, path: KeyPath, branches: Sequence[Branch]) -> TensorSpec | None:
        if not branches:
            return self._spec(reference, path)
        spec = self._specs.get(reference)
        if spec is None:
            self._plan.findings.append((path, f"{reference!r} is no output of a node"))
        return spec

    def _cascade(self, node: CascadeNode, at: int) -> None:
        self._structure.used.add(node.first)
        if node.first not in self._structure.nodes:
            self._find((at, "first"), f"{node.first!r} is no node of this graph")
            return
        if node.first in self._structure.routers:
            self._find((at, "first"), f"{node.first!r} is executed only by {self._structure.routers[node.first]!r}")
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
        self._step(node, outputs, execute, [f"{node.first}.{spec.name}" for spec in outputs], branches)

    def _router(self, node: SwitchNode | SplitNode | FallbackNode | RaceNode, at: int) -> None:
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
        elif isinstance(node, FallbackNode):
            execute = routers.fallback(node.name, branches)
        else:
            execute = routers.race(branches)
            self._check_racing(node, at)
        self._step(node, first.outputs, execute, needs, branches)

    def _can_switch(self, node: SwitchNode, at: int) -> bool:
        if node.input is None:
            return True
        spec = self._spec(node.input, ("nodes", at, "input"))
        if spec is None:
            self._broken.add(node.name)
        elif spec.datatype.is_float or len(spec.shape) != 1:
            self._find((at, "input"), f"a switch goes by an integer, BOOL or BYTES a row, not {said(spec)}")
        return spec is not None

    def _check_same(
        self, at: int, key: str, one: tuple[str, tuple[TensorSpec, ...]], other: tuple[str, tuple[TensorSpec, ...]]
    ) -> None:
        for message in other_outputs(one, other):
            self._find((at, key), message)

    def _check_racing(self, node: RaceNode, at: int) -> None:
        for index, name in enumerate(node.targets):
            target = self._structure.nodes[name]
            if not isinstance(target, RemoteNode) and not (isinstance(target, ComputingNode) and target.is_own):
                message = f"{name!r} could not be cancelled; what races is remote or has placement: own"
                self._find((at, "targets", index), message)

    def _outputs(self) -> None:
        found = []
        for name, reference in self._graph.outputs.items():
            spec = self._spec(reference, ("outputs", name))
            if spec is not None:
                found.append((replace(spec, name=name), reference))
        self._plan.outputs = tuple(spec for spec, _ in found)
        self._plan.references = tuple(reference for _, reference in found)


def _why_fresh(node: Node, branches: Sequence[Branch]) -> str:
    """Why a node's answer depends on more than its inputs; empty if it does not."""
    if isinstance(node, SplitNode):
        return f"{node.name!r} chooses by the request"
    if isinstance(node, SwitchNode) and node.parameter is not None:
        return f"{node.name!r} chooses by a parameter of the request"
    if isinstance(node, RemoteNode) and not node.version:
        return f"{node.name!r} names no version, so its server may answer otherwise at any time"
    return next((branch.steps.why_fresh for branch in branches if branch.steps.why_fresh), "")


def _limits(node: Node) -> Limits:
    return Limits(node.name, None if node.timeout_ms is None else node.timeout_ms / 1000, node.retries)
