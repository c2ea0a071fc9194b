"""The token that Ray's own dashboard and ports ask for, found where Ray finds it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def ray_token(environment: Mapping[str, str]) -> str:
    """The token: of RAY_AUTH_TOKEN, else of the file RAY_AUTH_TOKEN_PATH, else of ~/.ray/auth_token; "" without one."""
    if token := environment.get("RAY_AUTH_TOKEN", "").strip():
        return token
    home = Path(environment.get("HOME") or Path.home())
    file = environment.get("RAY_AUTH_TOKEN_PATH") or home / ".ray/auth_token"
    try:
        return Path(file).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
