"""The ports a serve file asks for: whether they are ports, and whether they are free of one another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from serve_app.config.declared import ServeFile
from serve_app.config.located import KeyPath, at
from serve_app.config.schema_findings import shown
from serve_app.config.unknown_keys import Finding

DASHBOARD_PORT = 8265
HAPROXY_STATS_PORT = 8404
HAPROXY_METRICS_PORT = 9101
MAX_PORT = 65535

_HTTP: KeyPath = ("http_options", "port")
_GRPC: KeyPath = ("grpc_options", "port")


def port_findings(data: Mapping[str, Any], file: ServeFile) -> Iterator[Finding]:
    """Yield every given port that is none, or that something else of the same cluster listens on."""
    taken = {DASHBOARD_PORT: "the Ray dashboard's"}
    if file.has_ha_proxy:
        taken |= {HAPROXY_STATS_PORT: "HAProxy's, for statistics", HAPROXY_METRICS_PORT: "HAProxy's, for metrics"}
    for path, used in ((_HTTP, file.http_port), (_GRPC, file.grpc_port), *_express(file)):
        given = at(data, path)
        if isinstance(given, bool) or (isinstance(given, int) and not 1 <= given <= MAX_PORT):
            yield path, f"must be a port from 1 to {MAX_PORT}, not {shown(given)}"
        elif used in taken:
            yield path, f"the port {used} is {taken[used]} already"
        elif used is not None:
            taken[used] = ".".join(map(str, path)) + "'s"


def _express(file: ServeFile) -> Iterator[tuple[KeyPath, int]]:
    for gateway in file.gateways:
        if gateway.args and gateway.args.express:
            yield (*gateway.application.path, "args", "express", "port"), gateway.args.express.port
