"""The replica's end of direct calls: takes blocks over a socket, and answers all that it took before it ends."""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from serve_app.data_plane.frames import FrameProtocol, Unreadable
from serve_app.data_plane.parcel import Replies

logger = logging.getLogger("serve_app.direct")

LATE_S = 0.05  # for gateways that connected just before, to be seen and told
LEAVING_S = 3.0  # for gateways to close their connections once they were told that nothing is taken any more

Answer = Callable[..., Awaitable[Replies]]
"""Executes blocks and parcels, one an argument."""


class DirectServer:
    """Listens for gateways of this machine.

    Args:
        path: A file that is made, and gone once it is closed.
        answer: As the attribute.

    Attributes:
        answer: Called for each call; what it raises is raised in the gateway.
        is_closing: Whether calls are not taken any more.
        connections: Those that are open.
    """

    def __init__(self, path: Path, answer: Answer) -> None:
        self._path, self.answer = path, answer
        self.is_closing = False
        self.connections: set[_Served] = set()
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Take calls; where there can be no such socket a log line says why, and gateways call by handle."""
        try:
            self._server = await asyncio.get_running_loop().create_unix_server(lambda: _Served(self), str(self._path))
            self._path.chmod(0o600)
        except OSError as error:
            logger.warning("calls come by handle only, there is no socket at %s: %s", self._path, error)

    async def close(self) -> None:
        """Take no calls any more, answer those under way, and have the gateways leave."""
        self.is_closing = True
        self._path.unlink(missing_ok=True)
        for connection in self.connections:
            if not connection.is_busy:
                connection.send(None)
        await asyncio.sleep(LATE_S)
        while calls := [connection.call for connection in self.connections if connection.call and connection.is_busy]:
            await asyncio.wait(calls)
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVING_S):
                while self.connections:
                    await asyncio.wait([connection.gone for connection in self.connections])
        if self._server:
            self._server.close()


class _Served(FrameProtocol[tuple[object, ...]]):
    """A gateway's connection.

    Attributes:
        call: The last one.
        gone: Done once the connection is closed.
    """

    def __init__(self, server: DirectServer) -> None:
        super().__init__()
        self._server = server
        self.call: asyncio.Task[None] | None = None
        self.gone = asyncio.get_running_loop().create_future()

    @property
    def is_busy(self) -> bool:
        """Whether a call is under way."""
        return self.call is not None and not self.call.done()

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

    def received(self, value: tuple[object, ...] | Unreadable) -> None:
        """Begin with a call, or say that none is taken."""
        if self._server.is_closing:
            self.send(None)
        elif isinstance(value, Unreadable):
            self.send(value)
        else:
            self.call = asyncio.get_running_loop().create_task(self._serve(value))

    async def _serve(self, sent: tuple[object, ...]) -> None:
        answer: Replies | Exception
        try:
            answer = await self._server.answer(*sent)
        except Exception as error:  # whatever it is belongs to the caller, as in a handle call
            answer = _travelling(error)
        except BaseException as error:  # a model may raise even that, and somebody waits for an answer
            if not self.is_open:
                raise
            answer = RuntimeError(f"the replica raised {type(error).__name__}")
        try:
            self.send(answer)
        except BaseException:  # nobody shall wait for what cannot be sent
            self.close()
            raise


def _travelling(error: Exception) -> Exception:
    """The error, or one that tells its type where it would not arrive as it is."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - just made
    except Exception:  # both run the error's own methods, which may raise whatever they like
        logger.error("a call ended with an error that cannot travel", exc_info=error)
        return RuntimeError(f"the replica raised {type(error).__name__}")
    return error
