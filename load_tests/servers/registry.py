"""Which servers a benchmark runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from load_tests.models import Workload, cnn, digits
from load_tests.servers.fastapi_host import fastapi_host
from load_tests.servers.peers import peer_hosts
from load_tests.servers.ray_clusters import default_proxy_host, serve_app_host
from load_tests.target import Host

WORKLOADS: Mapping[str, Callable[[], Workload]] = {"digits": digits, "cnn": cnn}


def hosts(names: Iterable[str], *, quick: bool, peers: bool) -> list[Host]:
    """Ours beside its rivals in one cluster, what one writes by hand, and more.

    Args:
        names: Of the workloads, of `WORKLOADS`.
        quick: Without what takes a cluster of its own, and without the variants of Ray's batching that do not wait.
        peers: With the servers that need a virtual environment of their own each.

    Raises:
        ConfigError: The samples have not been made.
    """
    return hosts_of([WORKLOADS[name]() for name in names], quick=quick, peers=peers)


def hosts_of(workloads: Sequence[Workload], *, quick: bool, peers: bool) -> list[Host]:
    """As `hosts`, of given workloads."""
    found: list[Host] = [serve_app_host(workloads, quick=quick), fastapi_host(workloads)]
    if not quick:
        found.append(default_proxy_host(workloads))
    if peers:
        found.extend(peer_hosts(workloads))
    return found
