"""The cluster's own token, where it has one: whoever bears it may deploy applications, so also move traffic."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
DEFAULT_PATH = Path(".ray/auth_token")
"""Below the home folder; `serve-app serve` and Ray itself create it."""


def ray_token(environment: Mapping[str, str], home: Path | None = None) -> str:
    """The token that Ray itself would take in a process of the cluster, in Ray's order; empty if it takes none.

    Ray hands its mode of authentication to every process that it starts, so `RAY_AUTH_MODE` of a replica is the
    cluster's. Without `token` there, the file may be left over from another cluster, and is not read.

    Args:
        environment: The process's variables.
        home: Where the default file lies; None: the user's home folder.
    """
    if environment.get(MODE, "").lower() != "token":
        return ""
    if given := environment.get(TOKEN, "").strip():
        return given
    path = environment.get(TOKEN_PATH)
    try:
        return (Path(path) if path else (home or Path.home()) / DEFAULT_PATH).read_text(encoding="ascii").strip()
    except (OSError, ValueError, RuntimeError):  # RuntimeError: a user whose home is not known
        return ""


def users_token(environment: Mapping[str, str]) -> str:
    """The token that a client of a cluster sends; "" without one. Its own variables say nothing of the cluster's mode.

    A cluster that asks for none takes no offence at it.
    """
    home = environment.get("HOME")
    return ray_token({**environment, MODE: "token"}, Path(home) if home else None)
