"""The replica's end of direct calls: takes blocks over a socket, and answers all that it took before it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from serve_app.data_plane.direct_calls import Replies
from serve_app.data_plane.frames import FrameProtocol

logger = logging.getLogger("serve_app.direct")

LEAVING_S = 3.0  # for gateways, which look at the cluster once a second, to close their connections

Answer = Callable[..., Awaitable[Replies]]
"""Executes blocks and parcels, one an argument."""


class DirectServer:
    """Listens for gateways of this machine.

    Args:
        path: A file that is made, and gone once it is closed.
        answer: Called for each call; what it raises is raised in the gateway.

    Attributes:
        is_closing: Whether calls are not taken any more.
    """

    def __init__(self, path: Path, answer: Answer) -> None:
        self._path, self.answer = path, answer
        self.is_closing = False
        self._server: asyncio.Server | None = None
        self.connections: set[_Served] = set()

    async def listen(self) -> None:
        """Take calls; where there can be no such socket a log line says why, and gateways call by handle."""
        try:
            self._server = await asyncio.get_running_loop().create_unix_server(lambda: _Served(self), str(self._path))
            self._path.chmod(0o600)
        except OSError as error:
            logger.warning("calls come by handle only, there is no socket at %s: %s", self._path, error)

    async def close(self) -> None:
        """Take no calls any more, answer those under way, and give gateways time to notice."""
        self.is_closing = True
        self._path.unlink(missing_ok=True)
        if self._server:
            self._server.close()
        while calls := [connection.call for connection in self.connections if connection.call]:
            await asyncio.wait(calls)
        if gateways := [connection.gone for connection in self.connections]:
            await asyncio.wait(gateways, timeout=LEAVING_S)


class _Served(FrameProtocol[tuple[object, ...]]):
    """A gateway's connection.

    Attributes:
        call: Under way.
        gone: Done once the connection is closed.
    """

    def __init__(self, server: DirectServer) -> None:
        super().__init__()
        self._server = server
        self.call: asyncio.Task[None] | None = None
        self.gone = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for calls."""
        super().connection_made(transport)
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the work: the gateway ended, or gave the call up."""
        super().connection_lost(exc)
        self._server.connections.discard(self)
        self.gone.set_result(None)
        if self.call:
            self.call.cancel()

    def received(self, value: tuple[object, ...]) -> None:
        """Begin with a call, or say that none is taken."""
        if self._server.is_closing:
            self.send(None)
        else:
            self.call = asyncio.get_running_loop().create_task(self._serve(value))

    async def _serve(self, sent: tuple[object, ...]) -> None:
        answer: Replies | Exception
        try:
            answer = await self._server.answer(*sent)
        except Exception as error:  # whatever it is belongs to the caller, as in a handle call
            answer = error
        self.call = None
        try:
            self.send(answer)
        except Exception as error:  # pickling runs the code of what is pickled, an error's for example
            self.send(RuntimeError(f"the replica's answer {answer!r:.200} cannot travel: {error!r:.200}"))
