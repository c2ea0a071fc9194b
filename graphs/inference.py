"""Builds a release: one version of one model as an application of its own, without a route."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import ray
from ray import serve
from ray.serve import Application

from deployments.model import Model
from serve_app.config.release import ReleaseArgs
from serve_app.dataflow.own_nodes import node_args
from serve_app.errors import AcceleratorMissing

MAX_ONGOING_REQUESTS = 64  # blocks, each of many rows; a gateway replica has few in flight
NUM_CPUS = 0.15  # a reservation, not a limit: the sample releases and a second version of each fit two cores
SHARED_GPU = 0.2  # what a replica takes of a GPU under `auto`: small models share; `num_gpus` in the YAML wins


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
    """What a replica asks of Ray, by what the cluster has now."""
    gpus = ray.cluster_resources().get("GPU", 0)
    if release.accelerator == "gpu" and not gpus:
        raise AcceleratorMissing(release.release)
    return {"cpu": 0, "gpu": 1, "auto": SHARED_GPU if gpus else 0}[release.accelerator]
