"""The controller of a process whose database may not be there yet: it is tried again until it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from serve_app.errors import ControllerAway
from serve_app.release.commands import Command
from serve_app.release.control import Document, ReleaseControl
from serve_app.release.messages import GatewayReport, LiveTable

logger = logging.getLogger("serve_app.releases")

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 10.0
_SHOWN = 300


class RunningControl(ReleaseControl, Protocol):
    """A controller that was started."""

    async def close(self) -> None:
        """Stop it."""

    def check(self) -> None:
        """Raise if it does not do its work any more."""


class Opening:
    """Forwards to the controller once it is started; until then each call is refused with the reason.

    So a database that is away costs rollouts and nothing else: the replica starts, and the gateway is ready without it.

    Args:
        start: Opens the store and starts the controller; tried again, ever later, while it raises.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        start: Callable[[], Awaitable[RunningControl]],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._start, self._sleep = start, sleep
        self._control: RunningControl | None = None
        self._fault = "it is starting"
        self._opening: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to start the controller; needs the running event loop."""
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open())

    async def close(self) -> None:
        """Stop it, or stop to try."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._control is not None:
            await self._control.close()

    def check(self) -> None:
        """Raise if the controller was started and does not do its work any more."""
        if self._control is not None:
            self._control.check()

    async def exchange(self, report: GatewayReport) -> LiveTable:
        """As the controller.

        Raises:
            ControllerAway: It is not started yet.
        """
        return await self._started.exchange(report)

    async def command(self, command: Command) -> Document:
        """As the controller.

        Raises:
            ControllerAway: It is not started yet.
            CommandRefused: As the controller.
        """
        return await self._started.command(command)

    async def status(self) -> Document:
        """As the controller.

        Raises:
            ControllerAway: It is not started yet.
        """
        return await self._started.status()

    async def experiment(self, name: str) -> Document:
        """As the controller.

        Raises:
            ControllerAway: It is not started yet.
            CommandRefused: As the controller.
        """
        return await self._started.experiment(name)

    @property
    def _started(self) -> RunningControl:
        if self._control is None:
            raise ControllerAway(self._fault)
        return self._control

    async def _open(self) -> None:
        wait_s = FIRST_WAIT_S
        while self._control is None:
            try:
                self._control = await self._start()
            except Exception as error:  # a database's driver may raise anything; the reason is told with each call
                said = error.reason if isinstance(error, ControllerAway) else f"{type(error).__name__}: {error}"
                self._fault = said[:_SHOWN]
                logger.warning("the controller of releases cannot start: %s", self._fault)
                await self._sleep(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
