"""What gateways need of the controller, and the controller of the cluster; Ray, or one process, is behind both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from serve_app.release.commands import Command
from serve_app.release.messages import GatewayReport, LiveTable

Document = Mapping[str, object]
"""JSON: what is shown to people and programs as it is."""

ApplicationConfig = Mapping[str, Any]
"""One item of a serve file's `applications`, as Serve's own schema dumps it."""


class ReleaseControl(Protocol):
    """The controller, as gateways call it; every call may raise `ControllerAway`."""

    async def exchange(self, report: GatewayReport) -> LiveTable:
        """Tell what was counted, get the table that should be in effect."""

    async def command(self, command: Command) -> Document:
        """Do what a person or a program asks.

        Raises:
            CommandRefused: It cannot be done now; the message says why.
        """

    async def status(self) -> Document:
        """Models, versions, rollouts, gates and the last events."""

    async def experiment(self, name: str) -> Document:
        """An experiment's metrics by version, with intervals.

        Raises:
            CommandRefused: There is none of that name.
        """


class Applications(Protocol):
    """The applications of the cluster, as the controller changes them."""

    async def running(self) -> Mapping[str, ApplicationConfig]:
        """The configuration of every deployed application, by name."""

    async def deploy(self, applications: Sequence[ApplicationConfig]) -> None:
        """Add applications, or change those of the same names, and leave all others alone."""

    async def delete(self, names: Sequence[str]) -> None:
        """Delete applications; those that do not exist are gone already."""
