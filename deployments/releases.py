"""The shell of the controller of releases: one replica of the gateway's application, without a route.

When it dies, Serve starts it again; observed with Ray 2.60 on two busy cores: it answers again after 4 s. Until then
`serve status` calls the application `gateway` UNHEALTHY, its deployment `Gateway` stays HEALTHY, and nothing else is
held up: no request failed, the gateway stayed ready in the same process, and other applications could be changed, even
while the controller was killed eleven times in 40 s.
"""

from __future__ import annotations

import asyncio
import os

from deployments.applications import ServeApplications
from deployments.logs import use_serve_log
from deployments.metrics import RayMetrics
from serve_app.config.gateway import ReleasesConfig
from serve_app.release.commands import Command
from serve_app.release.control import Document
from serve_app.release.controller import Controller
from serve_app.release.messages import GatewayReport, LiveTable
from serve_app.release.opening import Opening


class Releases:
    """Holds the controller and forwards to it; every decision is made in `serve_app`.

    Args:
        config: Of the controller. Serve awaits this constructor.
    """

    async def __init__(self, config: ReleasesConfig) -> None:  # type: ignore[misc]
        use_serve_log()
        self._config, self._metrics = config, RayMetrics()
        self._control = Opening(self._start)
        self._control.open()

    async def exchange(self, report: GatewayReport) -> LiveTable:
        """Take a gateway's report and give the table that should be in effect."""
        return await self._control.exchange(report)

    async def command(self, command: Command) -> Document:
        """Do what a person or a program asks."""
        return await self._control.command(command)

    async def status(self) -> Document:
        """Models, versions, rollouts, gates and the last events."""
        return await self._control.status()

    async def experiment(self, name: str) -> Document:
        """An experiment's metrics by version."""
        return await self._control.experiment(name)

    def check_health(self) -> None:
        """Have Serve replace the replica if the controller stopped looking."""
        self._control.check()

    async def __del__(self) -> None:
        """Serve calls this last of all."""
        await self._control.close()

    async def _start(self) -> Controller:
        # SQLAlchemy and Alembic take 0.6 s of CPU, which the process that builds the application would pay too.
        from serve_app.release.store import Store  # noqa: PLC0415
        from serve_app.release.webhooks import Webhooks  # noqa: PLC0415

        password = os.environ.get(self._config.state_password_env or "", "")
        hooks = self._config.webhooks
        store = await asyncio.to_thread(Store.open, self._config.state_url, password, [hook.url for hook in hooks])
        webhooks = Webhooks(store, hooks, os.environ)
        controller = Controller(store, ServeApplications(), self._metrics, webhooks)
        try:
            await controller.start()
        except BaseException:
            await controller.close()  # else each try would leave connections behind
            raise
        return controller
