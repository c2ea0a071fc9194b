"""Where a node of a graph runs, and why."""

from __future__ import annotations

from enum import StrEnum

from serve_app.config.graph import ComputingNode, Node, RemoteNode


class Placement(StrEnum):
    """In which process a node runs."""

    FUSED = "fused"
    OWN = "own"
    REMOTE = "remote"
    INLINE = "gateway inline"


def placed(node: Node, home: Placement = Placement.FUSED) -> tuple[Placement, str]:
    """A node's placement and the reason of it.

    Args:
        node: As declared.
        home: What is not elsewhere: fused into the release's replica, or inline in the gateway.
    """
    if isinstance(node, RemoteNode):
        return Placement.REMOTE, "it is a model of another server"
    if not isinstance(node, ComputingNode):
        return home, "what combines or routes is in its graph's process"
    if node.placement != "auto":
        return (Placement.OWN if node.is_own else home), f"placement: {node.placement}"
    if node.is_own:
        return Placement.OWN, f"auto: {node.why_own}"
    if home is Placement.INLINE:
        return home, "auto: its release is inline in the gateway's table"
    gpu = "accelerator, gpu_memory_mib, " if "accelerator" in type(node).model_fields else ""
    return home, (
        f"auto: it asks for no {gpu}timeout_ms or retries of its own "
        "(deployments: is not seen here; for scaling of its own it needs placement: own)"
    )
