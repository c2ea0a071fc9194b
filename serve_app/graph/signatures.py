"""What a graph's models take and give, from their manifests alone."""

from __future__ import annotations

from collections.abc import Mapping

from serve_app.config.graph import GraphConfig
from serve_app.config.manifest import Manifest
from serve_app.errors import ConfigError
from serve_app.graph.plan import NodeModel
from serve_app.repository.store import open_version


def opened_models(graph: GraphConfig) -> tuple[dict[str, Manifest], dict[str, str]]:
    """What is known of a graph's models without loading any.

    Returns:
        The manifests of the versions on this machine, verified, and what is wrong with the others; by node name.
    """
    manifests, faults = dict[str, Manifest](), dict[str, str]()
    for _, node in graph.models:
        if "://" in node.source:
            continue
        try:
            manifests[node.name] = open_version(node.source).manifest
        except ConfigError as error:
            faults[node.name] = "; ".join(str(error).splitlines())
    return manifests, faults


def signatures(manifests: Mapping[str, Manifest]) -> dict[str, NodeModel]:
    """What a graph is planned with where nothing is loaded."""
    return {
        name: NodeModel(
            tuple(config.spec for config in manifest.inputs),
            tuple(config.spec for config in manifest.outputs),
            is_ragged=manifest.batching.ragged is not None,
        )
        for name, manifest in manifests.items()
    }
