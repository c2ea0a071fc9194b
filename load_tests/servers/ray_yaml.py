"""The serve files of the two Ray clusters, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from load_tests.models import Workload
from load_tests.servers.offers import cnn_threads
from load_tests.target import OURS

EXPRESS_PORT = 8001
APART, BY_HANDLE = "apart", "handle"
DEFAULT_PROXY_PORT = 8002
MAX_BATCH_ROWS = 32  # as for every other server here
BATCH_WAITS_S = {"": 0.002, "-0": 0.0}
"""How long Ray's own batching waits for more requests, by the end of the route."""

Config = dict[str, Any]


def serve_app_beside_rivals(production: Mapping[str, Any], workloads: Sequence[Workload], *, quick: bool) -> Config:
    """Our gateway and releases, the no-op ingress and Ray's own batching in one cluster.

    Args:
        production: `configs/prod.yaml`; its proxy mode, HTTP options and gateway arguments are kept.
        workloads: One release each.
        quick: Without the variants of Ray's batching that do not wait.
    """
    waits = [""] if quick else list(BATCH_WAITS_S)
    top = {key: production[key] for key in ("proxy_location", "controller_options", "http_options")}
    return {
        **top,
        "applications": [
            _gateway(production["applications"][0], workloads),
            *map(_release, workloads),
            _rival("noop", "/noop", "noop_ray:build", {}),
            *(_batching(workload.name, wait) for workload in workloads for wait in waits),
        ],
    }


def inline_beside_noop(production: Mapping[str, Any], workload: Workload) -> Config:
    """A release inside our gateway, the same one as an application of its own, twice, and the no-op ingress.

    Version `apart` is called over its socket, as on any machine that has both; `handle` by handle, because Serve counts
    its calls: to find out that it needs no second replica.

    Args:
        production: As for `serve_app_beside_rivals`.
        workload: What the release is made of.
    """
    config = serve_app_beside_rivals(production, [workload], quick=True)
    gateway, release, noop, _ = config["applications"]
    args = {**release["args"], "batching": {"max_rows": 64}}  # as in production
    inline = {key: args[key] for key in ("source", "slo_ms", "batching")}
    table = {"traffic": {"v1": 100, APART: 0, BY_HANDLE: 0}, "inline": {"v1": inline}}
    gateway["deployments"][0]["user_config"] = {"models": {workload.name: table}}
    apart, by_handle = (
        {**release, "name": f"{workload.name}-{version}", "args": {**args, "version": version}}
        for version in (APART, BY_HANDLE)
    )
    counted = {"min_replicas": 1, "max_replicas": 2, "target_ongoing_requests": 1000}
    by_handle["deployments"] = [{"name": workload.name, "autoscaling_config": counted}]
    return {**config, "applications": [gateway, apart, by_handle, noop]}


def batching_behind_default_proxy(workloads: Sequence[Workload]) -> Config:
    """Ray's own batching alone, as Ray is without any switch."""
    return {
        "http_options": {"host": "127.0.0.1", "port": DEFAULT_PROXY_PORT},
        "applications": [_batching(workload.name, "") for workload in workloads],
    }


def release_application(args: Mapping[str, Any]) -> Config:
    """A release as an application of a serve file; `args` as of `ReleaseArgs`."""
    name = f"{args['model']}-{args['version']}"
    return {"name": name, "route_prefix": None, "import_path": "graphs.inference:build", "args": dict(args)}


def batch_route(workload: str, wait: str) -> str:
    """The route of Ray's own batching; `wait` is a key of `BATCH_WAITS_S`."""
    return f"/batch/{workload}{wait}"


def _gateway(production: Mapping[str, Any], workloads: Sequence[Workload]) -> Config:
    args = {**production["args"], "express": {"port": EXPRESS_PORT}}
    table = {"models": {workload.name: {"traffic": {"v1": 100}} for workload in workloads}}
    return {
        "name": "gateway",
        "route_prefix": "/",
        "import_path": production["import_path"],
        "args": args,
        "deployments": [{"name": "Gateway", "num_replicas": 1, "max_ongoing_requests": 4096, "user_config": table}],
    }


def _release(workload: Workload) -> Config:
    args: Config = {
        "model": workload.name,
        "version": "v1",
        "source": str(workload.source),
        "accelerator": "cpu",
        "slo_ms": 2000,
        "batching": {"max_rows": MAX_BATCH_ROWS},
    }
    if workload.name == "cnn":
        args["runtime"] = {"threads": cnn_threads(OURS)}
    return release_application(args)


def _batching(workload: str, wait: str) -> Config:
    args = {"workload": workload, "wait_s": BATCH_WAITS_S[wait]}
    return _rival(f"batch-{workload}{wait}", batch_route(workload, wait), "batch_ray:build", args)


def _rival(name: str, route: str, import_path: str, args: Config) -> Config:
    return {"name": name, "route_prefix": route, "import_path": import_path, "args": args}
