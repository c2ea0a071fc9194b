"""Whether `serve run` would attach to a Ray cluster that is running already, found as Ray finds it."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from serve_app.cli.output import CommandError

_CONNECT_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class RunningCluster:
    """A cluster that is not ours to end.

    Attributes:
        address: As Ray takes it.
        found_in: The variable or file that names it.
    """

    address: str
    found_in: str


def running_cluster(environment: Mapping[str, str]) -> RunningCluster | None:
    """The cluster that `serve run` with this environment attaches to, or None if it will start one.

    Raises:
        CommandError: One is named but nobody answers there, so that `serve run` would wait and fail.
    """
    if address := environment.get("RAY_ADDRESS"):
        return RunningCluster(address, "RAY_ADDRESS")  # may be a name or a ray:// URL: left to Ray
    file = _address_file(environment)
    try:
        address = file.read_text().strip()
    except OSError:
        return None
    if not address:
        return None
    if not _answers(address):
        raise CommandError(
            f"{file} names a Ray cluster at {address} and nobody answers there; "
            f"if it is gone, remove the file (`ray stop` does)"
        )
    return RunningCluster(address, str(file))


def _address_file(environment: Mapping[str, str]) -> Path:
    temporary = environment.get("RAY_TMPDIR") or environment.get("TMPDIR") or "/tmp"  # noqa: S108 - Ray's own place
    return Path(temporary) / "ray" / "ray_current_cluster"


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_TIMEOUT_S):
            return True
    except (OSError, ValueError):
        return False
