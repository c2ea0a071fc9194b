"""Which releases a gateway may call directly: those that are on its machine with all that they have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serve_app.config.scaling import is_row_aware
from serve_app.data_plane.cluster import ANSWERING, head_of_application
from serve_app.data_plane.direct_calls import socket_path


def sockets_of_application(application: str, deployments: Mapping[str, Mapping[str, Any]], node: str) -> list[Path]:
    """Where the replicas listen that take an application's calls.

    Args:
        application: Its name.
        deployments: What Serve says about each of its deployments, by name: `deployment_config` and `replicas`.
        node: Id of the machine, in Ray.

    Returns:
        A path for each running replica. None at all if one of them is on another machine, because Serve's router knows
        which one is the least busy, or if Serve counts calls to find out how many replicas there should be.
    """
    deployment = deployments.get(head_of_application(application, deployments), {})
    running = [replica for replica in deployment.get("replicas", ()) if replica["state"] in ANSWERING]
    if _is_scaled_by_calls(deployment) or any(replica["node_id"] != node for replica in running):
        return []
    return [socket_path(replica["pid"], replica["replica_id"]) for replica in running]


def _is_scaled_by_calls(deployment: Mapping[str, Any]) -> bool:
    config = deployment.get("deployment_config", {}).get("autoscaling_config")
    return bool(config) and not is_row_aware(config.get("policy", {}).get("policy_function"))
