"""What scenarios have in common: a server on a private file, and waits for what must come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx

from load_tests.releases import files
from load_tests.releases.files import DIGITS, ReleaseFile
from load_tests.releases.running import Running, free_ports
from load_tests.servers.program import wait_until

QUIET_S = 12.0
WARM_UP_S = 4.0
SETTLED_S = 3.0


def base(folder: Path, gateways: int = 1) -> ReleaseFile:
    """The file of a server with its state in the folder, without any release yet."""
    return files.cut_down(free_ports(), f"sqlite:///{folder}/state.db", gateways)


def with_digits(folder: Path, gateways: int = 1) -> ReleaseFile:
    """The file of a server with digits v1 alone."""
    return base(folder, gateways).serving(files.digits("v1")).routed(DIGITS, {"v1": 100})


def comes(claim: Callable[[], bool], limit_s: float = 60.0) -> bool:
    """Whether something becomes true in time; what cannot be asked just now is not true yet."""

    def asked() -> bool:
        try:
            return claim()
        except (httpx.HTTPError, LookupError, ValueError):  # the dashboard and the gateway are asked while they restart
            return False

    return wait_until(asked, limit_s)


def answers_with(running: Running, model: str, *versions: str, limit_s: float = 60.0) -> bool:
    """Whether versions become ready at every gateway."""
    return comes(lambda: set(versions) <= running.ready_versions(model), limit_s)
