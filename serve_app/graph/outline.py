"""A release as people look at it: its nodes in the order of data, where each runs and why, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from serve_app.config.graph import (
    CascadeNode,
    EnsembleNode,
    FallbackNode,
    GraphConfig,
    ModelNode,
    Node,
    RaceNode,
    RemoteNode,
    SplitNode,
    SwitchNode,
    references_of,
    targets_of,
)
from serve_app.config.manifest import Manifest
from serve_app.config.release import ReleaseArgs
from serve_app.graph.placement import Placement, placed
from serve_app.graph.plan import Plan
from serve_app.graph.settings import Setting, settings_of
from serve_app.graph.structure import Structure, structure_of
from serve_app.types import TensorSpec


@dataclass(frozen=True, slots=True, order=True)
class Time:
    """Milliseconds of an execution of so many rows."""

    rows: int
    ms: float


@dataclass(frozen=True, slots=True)
class Times:
    """How long executions take, by their rows, ascending, and where and when that was measured."""

    by_rows: tuple[Time, ...]
    measured: str

    @staticmethod
    def of(ms_by_rows: Mapping[int, float], measured: str) -> Times:
        """In the order of rows."""
        return Times(tuple(sorted(Time(rows, ms) for rows, ms in ms_by_rows.items())), measured)

    def said(self, most: int) -> str:
        """At most so many (> 1) of them, the smallest and the largest number of rows among them."""
        step = max(1.0, (len(self.by_rows) - 1) / (most - 1))
        few = [self.by_rows[round(index * step)] for index in range(min(most, len(self.by_rows)))]
        return ", ".join(f"{time.ms:.3g} ms for {time.rows} row{'s' if time.rows > 1 else ''}" for time in few)


@dataclass(frozen=True, slots=True)
class Taken:
    """A tensor that something takes.

    Attributes:
        name: What it is there; empty where it has no name of its own.
        reference: Where it comes from.
        spec: What it is; None where only loading tells.
    """

    name: str
    reference: str
    spec: TensorSpec | None


@dataclass(frozen=True, slots=True)
class NodeOutline:
    """One node.

    Attributes:
        router: The node that executes it; empty if every batch needs it.
        reason: Why it has that placement.
        source: The version that it is, or the server; empty if it is neither.
        format: Of a model version that could be opened.
        settings: What the file says about it beside its edges.
        outputs: Empty where only loading tells.
        times: Of one that was measured.
    """

    name: str
    kind: str
    router: str
    placement: Placement
    reason: str
    source: str
    format: str
    settings: tuple[Setting, ...]
    inputs: tuple[Taken, ...]
    outputs: tuple[TensorSpec, ...]
    times: tuple[Times, ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """Data on its way from a node, or an input of the graph, to a node.

    Attributes:
        label: Which tensors, or which rows; empty where that goes without saying.
        is_branch: Whether it is for some of the rows, or where others fail.
    """

    begin: str
    end: str
    label: str
    is_branch: bool


@dataclass(frozen=True, slots=True)
class Outline:
    """A release.

    Attributes:
        is_graph: Whether it was declared as one; else its only node is its model.
        outputs: Under the release's names.
        times: Of the whole.
    """

    model: str
    version: str
    release: str
    is_graph: bool
    settings: tuple[Setting, ...]
    inputs: tuple[TensorSpec, ...]
    nodes: tuple[NodeOutline, ...]
    edges: tuple[Edge, ...]
    outputs: tuple[Taken, ...]
    times: tuple[Times, ...] = ()

    def with_times(self, whole: Times, nodes: Mapping[str, Times]) -> Outline:
        """The same with what a running server has measured, of the whole and of nodes, before what was known."""
        known = (replace(n, times=(nodes[n.name], *n.times)) if n.name in nodes else n for n in self.nodes)
        return replace(self, nodes=tuple(known), times=(*((whole,) if whole.by_rows else ()), *self.times))


ONLY_MODEL = "it is the release's only model"


def outline_of_graph(
    args: ReleaseArgs, graph: GraphConfig, plan: Plan, manifests: Mapping[str, Manifest], home: Placement
) -> Outline:
    """The outline of a graph whose plan has no findings.

    Args:
        args: Of the release.
        graph: Its graph.
        plan: Of that.
        manifests: Of its model nodes, by node name; those of the others are not known.
        home: What fused nodes are: in a release's replica, or in the gateway's.
    """
    view = _View(graph, plan, manifests, structure_of(graph), home)
    known = {spec.name: spec for spec in plan.outputs}
    return Outline(
        args.model,
        args.version,
        args.release,
        True,
        settings_of(args, only_given=True),
        plan.inputs,
        tuple(view.node(name) for name in view.structure.order),
        tuple(edge for name in view.structure.order for edge in view.edges(name)),
        tuple(Taken(name, reference, known.get(name)) for name, reference in graph.outputs.items()),
    )


def outline_of_model(args: ReleaseArgs, manifest: Manifest | None, home: Placement) -> Outline:
    """The outline of a release that is one version; `manifest` is None if it is not on this machine."""
    inputs, outputs = _signature(manifest)
    taken = tuple(Taken(spec.name, spec.name, spec) for spec in inputs)
    given = tuple(Taken(spec.name, f"{args.model}.{spec.name}", spec) for spec in outputs)
    fmt = str(manifest.format) if manifest else ""
    node = NodeOutline(
        args.model, "model", "", home, ONLY_MODEL, args.source, fmt, (), taken, outputs, known_times(manifest)
    )
    edges = tuple(Edge(spec.name, args.model, "", False) for spec in inputs)
    settings = settings_of(args, only_given=True)
    return Outline(args.model, args.version, args.release, False, settings, inputs, (node,), edges, given)


def known_times(manifest: Manifest | None) -> tuple[Times, ...]:
    """What a version's manifest says about its speed."""
    profile = manifest.profile if manifest else None
    if profile is None:
        return ()
    threads = f", {profile.threads} thread{'s' if profile.threads > 1 else ''}" if profile.device == "cpu" else ""
    return (Times.of(profile.ms_by_rows, f"when it was added, on {profile.device}{threads}"),)


def branch_labels(node: Node) -> Mapping[str, str]:
    """For which rows a router executes each of its targets, or when."""
    if isinstance(node, CascadeNode):
        return {node.then: f"{node.confidence} < {node.threshold:g}"}
    if isinstance(node, SwitchNode):
        cases = {
            target: ", ".join(case for case, to in node.cases.items() if to == target) for target in targets_of(node)
        }
        return {target: said or "else" for target, said in cases.items()}
    if isinstance(node, SplitNode):
        whole = sum(node.weights.values())
        return {target: f"{100 * weight / whole:.3g}%" for target, weight in node.weights.items()}
    if isinstance(node, FallbackNode):
        return {target: f"{index}." for index, target in enumerate(node.targets, 1)}
    if isinstance(node, RaceNode):
        return dict.fromkeys(node.targets, "race")
    return dict.fromkeys(targets_of(node), "member")


@dataclass(frozen=True, slots=True)
class _View:
    graph: GraphConfig
    plan: Plan
    manifests: Mapping[str, Manifest]
    structure: Structure
    home: Placement

    def node(self, name: str) -> NodeOutline:
        """A node's outline."""
        node = self.structure.nodes[name]
        placement, reason = placed(node, self.home)
        manifest = self.manifests.get(name)
        prefix = f"{name}."
        outputs = [
            replace(spec, name=reference.removeprefix(prefix))
            for reference, spec in self.plan.specs.items()
            if reference.startswith(prefix)
        ]
        scope = self.structure.scopes[name]
        return NodeOutline(
            name,
            node.kind,
            self.structure.routers[scope[-1]] if scope else "",
            placement,
            reason,
            _source(node),
            str(manifest.format) if manifest else "",
            settings_of(node),
            tuple(Taken(taker, reference, self.plan.specs.get(reference)) for taker, reference in self._taken(node)),
            tuple(outputs),
            known_times(manifest),
        )

    def edges(self, name: str) -> Iterator[Edge]:
        """What goes to a node: one edge from each other node, however many tensors that are."""
        node = self.structure.nodes[name]
        labels = branch_labels(node)
        takes: dict[str, list[str]] = {}
        for _, reference in self._taken(node):
            begin, _, output = reference.partition(".")
            if begin not in self.structure.nodes:
                begin, output = reference, ""
            if begin not in labels:
                takes.setdefault(begin, []).append("" if output == "y" else output)
        scope = self.structure.scopes[name]
        for begin, outputs in takes.items():
            is_inside = self.structure.scopes.get(begin, ()) == scope
            yield Edge(begin, name, ", ".join(filter(None, dict.fromkeys(outputs))), bool(scope) and not is_inside)
        yield from (Edge(target, name, label, True) for target, label in labels.items())

    def _taken(self, node: Node) -> Iterator[tuple[str, str]]:
        """What a node takes under which name, with what it takes without being told."""
        manifest = self.manifests.get(node.name)
        if isinstance(node, ModelNode) and manifest:
            yield from ((config.name, node.inputs.get(config.name, config.name)) for config in manifest.inputs)
        elif isinstance(node, EnsembleNode):
            yield from (("", member) for member in node.members)
        else:
            yield from (("" if name == "input" else name, reference) for name, reference in references_of(node))
        if isinstance(node, CascadeNode):
            yield from ((spec, f"{node.first}.{spec}") for spec in self._outputs_of(node.first))

    def _outputs_of(self, name: str) -> Sequence[str]:
        prefix = f"{name}."
        return [reference.removeprefix(prefix) for reference in self.plan.specs if reference.startswith(prefix)]


def _source(node: Node) -> str:
    if isinstance(node, ModelNode):
        return node.source
    if isinstance(node, RemoteNode):
        return f"{node.protocol}://{node.url}/{node.model}{f'/{node.version}' if node.version else ''}"
    return ""


def _signature(manifest: Manifest | None) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    if manifest is None:
        return (), ()
    return tuple(config.spec for config in manifest.inputs), tuple(config.spec for config in manifest.outputs)
