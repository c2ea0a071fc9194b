"""What load is put on: a URL with its bodies, and the processes whose CPU and memory it costs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

OURS = "serve-app"
"""How the names of our own targets begin."""


@dataclass(frozen=True, slots=True)
class Target:
    """One server's answer to one workload.

    Attributes:
        name: As reports show it, e.g. `serve-app, express door`.
        workload: `digits` (one row of 64 numbers) or `cnn` (one image of 3x64x64 FP32).
        url: Where every body is posted.
        bodies: Request bodies, sent in turn.
        content_type: Of the bodies.
        headers: Further request headers.
        pids: Roots of the process trees that make up the server.
        applications: Of Serve, whose replicas in these trees are the target's own; empty where all processes are.
    """

    name: str
    workload: str
    url: str
    bodies: Sequence[bytes]
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    pids: tuple[int, ...] = ()
    applications: tuple[str, ...] = ()


class Host(Protocol):
    """Something that is started once and serves one or more targets, e.g. a Ray cluster with several applications."""

    @property
    def name(self) -> str:
        """As progress and errors name it."""

    def running(self) -> AbstractContextManager[tuple[Target, ...]]:
        """Start it, wait until every target answers right, and stop everything of it at the end.

        Raises:
            HostUnavailable: It cannot be run on this machine; the message says why.
        """


class HostUnavailable(Exception):
    """A server that cannot be run here, with the reason; a report lists it beside those that could."""
