"""The ports a serve file needs on this machine, and who holds those that are taken."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from serve_app.config.declared import ServeFile
from serve_app.config.port_checks import DASHBOARD_PORT, HAPROXY_METRICS_PORT, HAPROXY_STATS_PORT, MAX_PORT

ALL_INTERFACES = "0.0.0.0"  # noqa: S104 - where HAProxy and Ray's gRPC proxy listen, whatever the file says


@dataclass(frozen=True, slots=True)
class Port:
    """A TCP port that something of ours will listen on.

    Attributes:
        host: The address it will listen on.
        number: 1 to 65535.
        purpose: What for, and where it can be changed.
    """

    host: str
    number: int
    purpose: str


def ports_of(file: ServeFile) -> list[Port]:
    """The ports that a local cluster serving `file` listens on; Ray picks the rest among those that are free."""
    ports = [
        Port(str(file.http_host or ALL_INTERFACES), file.http_port, "HTTP (http_options.port)"),
        Port("127.0.0.1", DASHBOARD_PORT, "the Ray dashboard"),
    ]
    if file.grpc_port is not None:
        ports.append(Port(ALL_INTERFACES, file.grpc_port, "gRPC (grpc_options.port)"))
    for gateway in file.gateways:
        if gateway.args and (express := gateway.args.express):
            ports.append(Port(express.host, express.port, "the express door (args.express.port)"))
    if file.has_ha_proxy:
        ports.append(Port(ALL_INTERFACES, HAPROXY_STATS_PORT, "HAProxy's statistics"))
        ports.append(Port(ALL_INTERFACES, HAPROXY_METRICS_PORT, "HAProxy's metrics"))
    return ports


def taken_ports(ports: Iterable[Port]) -> list[str]:
    """One sentence for every port that cannot be listened on, naming who holds it where that can be seen."""
    return [f"port {port.number} for {port.purpose} {problem}" for port in ports if (problem := _problem(port))]


def _problem(port: Port) -> str | None:
    if not 1 <= port.number <= MAX_PORT:
        return f"cannot be used: ports are 1 to {MAX_PORT}"
    family = socket.AF_INET6 if ":" in port.host else socket.AF_INET
    try:
        # Reuses addresses on POSIX: closed connections do not count as taken.
        socket.create_server((port.host, port.number), family=family, backlog=1).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return f"is taken by {_holder(port.number)}"
        return f"cannot be used: {os.strerror(error.errno) if error.errno else error}"
    return None


def _holder(number: int) -> str:
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        connections = []
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == number:
            return _process_name(connection.pid)
    return "a process that cannot be seen from here"


def _process_name(pid: int | None) -> str:
    if pid is None:
        return "another user's process"
    try:
        process = psutil.Process(pid)
        return f"process {pid} ({process.name()})"
    except psutil.Error:
        return f"process {pid}"
