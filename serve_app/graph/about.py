"""What explanations say of a graph's nodes, whatever the batch is."""

from __future__ import annotations

from collections.abc import Mapping

from serve_app.batching.executing import About
from serve_app.config.graph import Node, RemoteNode
from serve_app.graph.plan import NodeModel
from serve_app.graph.structure import Structure


def about_nodes(structure: Structure, models: Mapping[str, NodeModel]) -> dict[str, About]:
    """What is known of each node that is in order.

    Args:
        structure: Of a graph.
        models: What executes its nodes, by their names, where that is known.
    """
    return {name: _about(structure, structure.nodes[name], models.get(name)) for name in structure.scopes}


def _about(structure: Structure, node: Node, model: NodeModel | None) -> About:
    scope = structure.scopes[node.name]
    inside = structure.routers[scope[-1]] if scope else ""
    if model is None:
        return About(node.kind, placement="remote" if isinstance(node, RemoteNode) else "fused", inside=inside)
    elsewhere = "remote" if isinstance(node, RemoteNode) else "own"
    return About(node.kind, model.version, model.device, "fused" if model.call is None else elsewhere, inside)
