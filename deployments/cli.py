"""The console script `serve-app`: the core's command line with Ray's own checks of serve files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from serve_app.cli.app import build_app

if TYPE_CHECKING:
    from serve_app.config.unknown_keys import Finding

NICENESS = 10  # of 19


def main() -> None:
    """Run the command line."""
    if sys.argv[1:2] == ["apply"] and hasattr(os, "nice"):
        os.nice(NICENESS)  # it opens every model to check it; what serves on this machine goes first
    build_app([_ray_findings])()


def _ray_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    from deployments.ray_schema import ray_findings  # noqa: PLC0415 - importing Ray takes a second; only this needs it

    yield from ray_findings(data)
