"""Two hosts on Ray: ours beside its rivals in the same mode, and Ray's own batching behind the default proxy."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from load_tests.models import BENCH, ROOT, Workload
from load_tests.servers.answers import Offer
from load_tests.servers.host import ProgramHost
from load_tests.servers.offers import RAW_TENSOR, app_environment, offer_of
from load_tests.servers.program import Program
from load_tests.servers.ray_yaml import (
    APART,
    BY_HANDLE,
    DEFAULT_PROXY_PORT,
    EXPRESS_PORT,
    batch_route,
    batching_behind_default_proxy,
    inline_beside_noop,
    serve_app_beside_rivals,
)
from load_tests.target import HostUnavailable
from serve_app.cli.output import CommandError
from serve_app.cli.ray_cluster import running_cluster
from serve_app.config.port_checks import DASHBOARD_PORT, HAPROXY_METRICS_PORT, HAPROXY_STATS_PORT

_STOP_S = 60.0  # `serve-app serve` bounds its own end by 45 s


def serve_app_host(workloads: Sequence[Workload], *, quick: bool) -> ProgramHost:
    """Our gateway and releases, the no-op ingress and Ray's own batching, in one cluster in HAProxy mode."""
    production, base, program = _ours(workloads)
    config = serve_app_beside_rivals(production, workloads, quick=quick)
    offers = _offers(base, workloads, quick=quick)
    return ProgramHost("Ray Serve in HAProxy mode", partial(_with_file, program, config), offers)


def inline_host(workload: Workload) -> ProgramHost:
    """A release inside our gateway, apart from it, and the no-op ingress, in one cluster in HAProxy mode."""
    production, base, program = _ours([workload])
    doors = {"": base, ", express door": f"http://127.0.0.1:{EXPRESS_PORT}"}
    offers = [
        offer_of(name + door, workload, f"{url}/v2/models/{workload.name}/versions/{version}/infer")
        for name, version in {"inline": "v1", "apart": APART, "apart, by handle": BY_HANDLE}.items()
        for door, url in doors.items()
    ]
    no_op = replace(offer_of("no-op ingress", workload, f"{base}/noop"), expected=None)
    config = inline_beside_noop(production, workload)
    return ProgramHost("digits inside the gateway", partial(_with_file, program, config), [no_op, *offers])


def _ours(workloads: Sequence[Workload]) -> tuple[Mapping[str, Any], str, Program]:
    """The content of configs/prod.yaml, where its proxy answers, and `serve-app serve` without its file."""
    production = yaml.safe_load((ROOT / "configs/prod.yaml").read_text())
    port = int(production["http_options"]["port"])
    ports = [port, EXPRESS_PORT, DASHBOARD_PORT, HAPROXY_STATS_PORT, HAPROXY_METRICS_PORT]
    program = Program(
        "serve-app", [_script("serve-app"), "serve"], ports, app_environment(workloads, "@serve.batch"), _STOP_S
    )
    return production, f"http://127.0.0.1:{port}", program


def default_proxy_host(workloads: Sequence[Workload]) -> ProgramHost:
    """Ray's own batching in a cluster without any switch."""
    base = f"http://127.0.0.1:{DEFAULT_PROXY_PORT}"
    ports = [DEFAULT_PROXY_PORT, DASHBOARD_PORT]
    program = Program(
        "ray-default", [_script("serve"), "run"], ports, app_environment(workloads, "@serve.batch"), _STOP_S
    )
    return ProgramHost(
        "Ray Serve behind its default proxy",
        partial(_with_file, program, batching_behind_default_proxy(workloads)),
        [
            _run_by(
                offer_of("@serve.batch, default proxy", workload, base + batch_route(workload.name, "")),
                f"batch-{workload.name}",
            )
            for workload in workloads
        ],
    )


def _offers(base: str, workloads: Sequence[Workload], *, quick: bool) -> list[Offer]:
    doors = {"serve-app": base, "serve-app, express door": f"http://127.0.0.1:{EXPRESS_PORT}"}
    batching = {"@serve.batch, HAProxy": ""} | ({} if quick else {"@serve.batch, HAProxy, no wait": "-0"})
    offers = []
    for workload in workloads:
        for name, door in doors.items():
            ours = offer_of(name, workload, f"{door}/v2/models/{workload.name}/infer", RAW_TENSOR)
            offers.append(replace(_run_by(ours, "gateway", f"{workload.name}-v1"), is_optional=door != base))
        for name, wait in batching.items():
            rival = offer_of(name, workload, base + batch_route(workload.name, wait))
            offers.append(_run_by(rival, f"batch-{workload.name}{wait}"))
    no_op = [offer_of("no-op ingress", workload, f"{base}/noop") for workload in workloads if workload.name == "digits"]
    return offers + [replace(_run_by(offer, "noop"), expected=None) for offer in no_op]


def _run_by(offer: Offer, *applications: str) -> Offer:
    """The offer, which costs what the cluster and these of its applications do."""
    return replace(offer, target=replace(offer.target, applications=applications))


def _with_file(program: Program, config: Mapping[str, Any]) -> Program:
    """The program with the serve file as its last argument, written now.

    Raises:
        HostUnavailable: A Ray cluster runs already, which this one would join instead of starting its own.
    """
    try:
        cluster = running_cluster(os.environ)
    except CommandError as error:
        raise HostUnavailable(str(error)) from None
    if cluster:
        raise HostUnavailable(f"a Ray cluster runs at {cluster.address} (from {cluster.found_in}); end it first")
    file = BENCH / f"{program.name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    return replace(program, command=[*program.command, str(file)])


def _script(name: str) -> str:
    return str(Path(sys.executable).parent / name)
