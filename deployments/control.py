"""The gateway's way to the controller of releases: a deployment handle, with a limit in time for each call.

A handle call to a deployment whose only replica died waits in Serve's router, without an error, until the next one is
there (observed with Ray 2.60: about 4 s), so each call has its own end here, and what waited is taken back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Protocol, TypeVar

from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from serve_app.errors import ControllerAway, ServeAppError
from serve_app.release.commands import Command
from serve_app.release.control import Document
from serve_app.release.messages import GatewayReport, LiveTable

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)

EXCHANGE_S, ASK_S, COMMAND_S = 2.0, 5.0, 30.0  # a command may deploy, and write to the database


class _Response(Protocol[_T_co]):
    """What a handle call gives at once."""

    def __await__(self) -> Generator[object, None, _T_co]:
        """Wait for the answer."""

    def cancel(self) -> None:
        """Take the call back, if nobody answers it yet."""


class HandleControl:
    """`ReleaseControl` over a handle of the deployment `Releases`."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle

    async def exchange(self, report: GatewayReport) -> LiveTable:
        """Tell what was counted, get the table that should be in effect.

        Raises:
            ControllerAway: It did not answer in time.
        """
        response: _Response[LiveTable] = self._handle.exchange.remote(report)
        return await _within(EXCHANGE_S, response)

    async def command(self, command: Command) -> Document:
        """Do what a person or a program asks.

        Raises:
            CommandRefused: It cannot be done now.
            ControllerAway: It did not answer in time; it may be done all the same.
        """
        response: _Response[Document] = self._handle.command.remote(command)
        return await _within(COMMAND_S, response)

    async def status(self) -> Document:
        """What is under way.

        Raises:
            ControllerAway: It did not answer in time.
        """
        response: _Response[Document] = self._handle.status.remote()
        return await _within(ASK_S, response)

    async def experiment(self, name: str) -> Document:
        """An experiment's metrics.

        Raises:
            CommandRefused: There is none of that name.
            ControllerAway: It did not answer in time.
        """
        response: _Response[Document] = self._handle.experiment.remote(name)
        return await _within(ASK_S, response)


async def _within(limit_s: float, response: _Response[_T]) -> _T:
    try:
        async with asyncio.timeout(limit_s):
            return await response
    except TimeoutError:
        response.cancel()
        raise ControllerAway(f"it did not answer within {limit_s:g} s") from None
    except RayTaskError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, ServeAppError):
            raise cause from None
        raise
    except (RayActorError, RayServeException) as error:
        raise ControllerAway(f"its replica is gone ({type(error).__name__})") from None
    except asyncio.CancelledError:
        response.cancel()
        raise
