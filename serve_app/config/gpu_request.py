"""How much of a GPU a replica asks Ray for."""

from __future__ import annotations

import math
from collections.abc import Callable

from serve_app.config.graph import GraphConfig
from serve_app.config.release import ReleaseArgs
from serve_app.errors import AcceleratorMissing, ConfigError

SHARED_GPU = 0.1
"""What a replica takes of a GPU under `auto` that does not say its memory: the releases of configs/prod.yaml, a second
replica of those that scale and a new version of each share one."""


def gpus_of(
    release: ReleaseArgs, cluster_gpus: float, memory_mib: Callable[[], int], can_use: Callable[[], bool]
) -> float:
    """GPUs, or a part of one, that each replica of a release asks for.

    Args:
        release: A release, or a node of a graph as one.
        cluster_gpus: That the cluster has now.
        memory_mib: Memory of the cluster's smallest GPU; called only where a share of it must be known.
        can_use: Whether the format of a model in it runs on GPUs; called only where the release does not tell.

    Raises:
        AcceleratorMissing: `accelerator: gpu`, and the cluster has none.
        ConfigError: A GPU has less memory than the release needs.
    """
    if release.accelerator == "cpu" or not _has_models(release.graph):
        return 0.0
    if not cluster_gpus:
        if release.accelerator == "gpu":
            raise AcceleratorMissing(release.release)
        return 0.0
    if release.gpu_memory_mib is None:
        if release.accelerator == "gpu":
            return 1.0
        return SHARED_GPU if can_use() else 0.0
    total = memory_mib()
    if release.gpu_memory_mib > total:
        raise ConfigError(f"{release.release}: gpu_memory_mib {release.gpu_memory_mib} is over a GPU's {total}")
    return math.ceil(100 * release.gpu_memory_mib / total) / 100


def smallest_mib(printed: str) -> int:
    """The least of the numbers that `nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits` prints."""
    return min(int(line) for line in printed.split())


def _has_models(graph: GraphConfig | None) -> bool:
    """Whether something that could use a GPU runs in the release's own process."""
    return graph is None or any(not node.is_own for node in graph.accelerated)
