"""Which nodes a graph has, in which order they can be executed, and which of them belong to a router's branch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from serve_app.config.graph import CascadeNode, FallbackNode, GraphConfig, Node, references_of, targets_of
from serve_app.config.located import KeyPath
from serve_app.config.unknown_keys import Finding

Scope = tuple[str, ...]
"""The routers' targets that a node is executed for, from the outermost; empty for what every batch needs."""


@dataclass(slots=True)
class Structure:
    """A graph's nodes and how they hang together.

    Attributes:
        nodes: By name, the first of two with one name.
        index: Where each is declared.
        order: The names, each after what it needs; empty if they go in a circle.
        routers: Who executes a node, for those that a router names.
        scopes: Of every node in the order.
        used: Nodes that something needs.
        findings: What is wrong with names and edges.
    """

    nodes: dict[str, Node]
    index: dict[str, int]
    order: Sequence[str] = ()
    routers: dict[str, str] = field(default_factory=dict)
    scopes: dict[str, Scope] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)

    def find(self, path: KeyPath, message: str) -> None:
        """Say what is wrong with a node, at a path that begins with its index."""
        self.findings.append((("nodes", *path), message))


def structure_of(graph: GraphConfig) -> Structure:
    """The structure of a graph, with everything that is wrong with it."""
    found = Structure({}, {node.name: index for index, node in reversed(list(enumerate(graph.nodes)))})
    inputs = [tensor.name for tensor in graph.inputs]
    for index, node in enumerate(graph.nodes):
        if node.name in found.nodes:
            found.find((index, "name"), f"a second node named {node.name!r}")
        elif taken := [name for name in inputs if name == node.name or name.startswith(f"{node.name}.")]:
            found.find((index, "name"), f"{node.name!r} is an input's name already: {taken[0]!r}")
        else:
            found.nodes[node.name] = node
    _find_targets(found)
    _find_order(found)
    _find_scopes(found, {reference.partition(".")[0] for reference in graph.outputs.values()})
    return found


def needs_of(node: Node) -> Iterator[str]:
    """Names of the nodes, and of the graph's inputs, that a node needs; targets among them."""
    yield from targets_of(node)
    if isinstance(node, CascadeNode):
        yield node.first
    for _, reference in references_of(node):
        yield reference.partition(".")[0]


def after_s(structure: Structure, usual_s: Mapping[str, float]) -> dict[str, float]:
    """Seconds from each node's answer until the graph's: the longest way through the nodes behind it.

    Args:
        structure: Of a graph; where there are findings, it is about the nodes that are in order.
        usual_s: What nodes usually take; those left out take none.
    """
    behind = dict.fromkeys(structure.order, 0.0)
    for name in reversed(structure.order):
        node = structure.nodes[name]
        rest_s = behind[name] + usual_s.get(name, 0.0)
        for need in {*needs_of(node)} & behind.keys():
            behind[need] = max(behind[need], rest_s)
        if isinstance(node, CascadeNode) and node.first in behind:  # the second is executed after the first
            behind[node.first] = max(behind[node.first], rest_s + usual_s.get(node.then, 0.0))
        if isinstance(node, FallbackNode):  # each leaves time for those that are tried after it
            for target in reversed(node.targets):
                if target in behind:
                    behind[target] = max(behind[target], rest_s)
                    rest_s += usual_s.get(target, 0.0)
    return behind


def _find_targets(found: Structure) -> None:
    for name, node in found.nodes.items():
        targets = targets_of(node)
        for target in dict.fromkeys(targets):
            if target not in found.nodes:
                known = ", ".join(other for other in found.nodes if other != name) or "none"
                found.find((found.index[name],), f"{target!r} is no node of this graph; there are: {known}")
            elif (other := found.routers.setdefault(target, name)) != name or targets.count(target) > 1:
                found.find((found.index[name],), f"the node {target!r} is executed by {other!r} already")
            found.used.add(target)


def _find_order(found: Structure) -> None:
    needs = {
        name: [of for of in dict.fromkeys(needs_of(node)) if of in found.nodes] for name, node in found.nodes.items()
    }
    try:
        found.order = list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        circle: list[str] = error.args[1]
        found.find((found.index[circle[0]],), f"the nodes go in a circle: {' <- '.join(circle)}")
        found.used |= found.nodes.keys()


def _find_scopes(found: Structure, wanted: set[str]) -> None:
    """Which branch each node belongs to: the innermost that all who need it are in."""
    takers: dict[str, list[str]] = {}
    for name in found.order:
        for need in {*needs_of(found.nodes[name])} - {*targets_of(found.nodes[name])}:
            takers.setdefault(need, []).append(name)
    for name in reversed(found.order):
        if name in found.routers:
            found.scopes[name] = (*found.scopes.get(found.routers[name], ()), name)
        else:
            scopes = [found.scopes[taker] for taker in takers.get(name, ())]
            found.scopes[name] = () if name in wanted else _common(scopes)


def _common(scopes: Sequence[Scope]) -> Scope:
    """The longest beginning that they share; of none, the empty one."""
    common: Scope = scopes[0] if scopes else ()
    for scope in scopes:
        length = next(
            (at for at, (one, other) in enumerate(zip(common, scope, strict=False)) if one != other),
            min(len(common), len(scope)),
        )
        common = common[:length]
    return common
