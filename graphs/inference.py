"""Builds a release: one version of one model as an application of its own, without a route."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from types import MappingProxyType

import ray
from ray import serve
from ray.serve import Application

from deployments.model import Model
from serve_app.config.gpu_request import gpus_of, smallest_mib
from serve_app.config.release import ReleaseArgs
from serve_app.dataflow.gpu_use import can_use_gpu
from serve_app.dataflow.own_nodes import node_args

MAX_ONGOING_REQUESTS = 64  # blocks, each of many rows; a gateway replica has few in flight
NUM_CPUS = 0.15  # a reservation, not a limit: the sample releases and a second version of each fit two cores


def build(args: dict[str, object]) -> Application:
    """A release; `args` follow `serve_app.config.release.ReleaseArgs`.

    Its deployment is named as the model; a graph has one more for each node on replicas of its own, named as the node.
    """
    release = ReleaseArgs.model_validate(args)
    own = release.graph.own if release.graph else ()
    return _deployed(
        release, release.model, {node.name: _deployed(node_args(release, node), node.name) for node in own}
    )


def _deployed(release: ReleaseArgs, name: str, nodes: Mapping[str, Application] = MappingProxyType({})) -> Application:
    return (
        serve.deployment(Model)
        .options(
            name=name,
            max_ongoing_requests=MAX_ONGOING_REQUESTS,
            ray_actor_options={"num_cpus": NUM_CPUS, "num_gpus": _num_gpus(release)},
            logging_config={"enable_access_log": False},
            health_check_period_s=0.5,  # how soon a dead replica is noticed while requests wait for it
            max_constructor_retry_count=2,  # what a check refuses once it refuses again; say so soon
        )
        .bind(release, dict(nodes))
    )


def _num_gpus(release: ReleaseArgs) -> float:
    """What a replica asks of Ray, by what the cluster has now; `num_gpus` in the YAML wins."""
    asking = ray.remote(num_gpus=0.01, num_cpus=0)(_gpu_memory_mib)  # on a machine that has one
    gpus = ray.cluster_resources().get("GPU", 0)
    return gpus_of(release, gpus, lambda: int(ray.get(asking.remote())), lambda: can_use_gpu(release))


def _gpu_memory_mib() -> int:
    """Of this machine's smallest GPU; a cluster of several kinds may answer for any of them."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    return smallest_mib(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)  # noqa: S603
