"""The console script `serve-app`: the core's command line with Ray's own checks of serve files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from serve_app.cli.app import build_app
from serve_app.config.unknown_keys import Finding


def main() -> None:
    """Run the command line."""
    build_app([_ray_findings])()


def _ray_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    from deployments.ray_schema import ray_findings  # noqa: PLC0415 - importing Ray takes a second; only this needs it

    yield from ray_findings(data)
