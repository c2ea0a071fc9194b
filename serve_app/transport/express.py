"""The express door: a port of the gateway's own, opened once it can answer and closed without losing a request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from serve_app.config.gateway import ExpressConfig
from serve_app.transport.granian_server import GranianServer
from serve_app.transport.listener import BACKLOG, bound_socket, turn_away, waiting_connections
from serve_app.transport.rsgi import GatewayRsgi

logger = logging.getLogger("serve_app.express")

_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each step may take, in seconds.

    Attributes:
        ready_s: Until the door opens although not all that the cluster has ready can be answered yet.
        announce_s: For clients with open connections to be told, with their next answer, to open another one elsewhere.
        settle_s: From there on new clients are ignored; for those half-way in to be accepted.
        finish_s: For the answers to what was accepted.
    """

    ready_s: float = 10.0
    announce_s: float = 2.0
    settle_s: float = 0.2
    finish_s: float = 30.0


class ExpressDoor:
    """A port of this process, served on its event loop.

    Args:
        config: Where it is and which certificate it shows.
        app: Answers the requests.
        is_ready: Whether all that others of its kind answer can be answered.
        patience: Bounds in time.

    Raises:
        RuntimeError: The port, or a file that TLS needs, cannot be used.
    """

    def __init__(
        self, config: ExpressConfig, app: GatewayRsgi, is_ready: Callable[[], bool], patience: Patience | None = None
    ) -> None:
        self._app, self._is_ready, self._patience = app, is_ready, patience or Patience()
        try:
            self._listener = bound_socket(config.host, config.port)
        except OSError as error:
            where = f"{config.host}:{config.port} (args.express)"
            raise RuntimeError(f"the express door cannot have {where}: {error.strerror or error}") from None
        try:
            self._server = GranianServer(app, self._listener, config.tls)
        except OSError as error:  # also ssl.SSLError
            self._listener.close()
            raise RuntimeError(f"the express door cannot use its TLS files (args.express.tls): {error}") from None
        self.port: int = self._listener.getsockname()[1]
        self._opened = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Open the door as soon as it is ready; needs the running event loop."""
        if self._serving is None:
            self._serving = asyncio.get_running_loop().create_task(self._serve())
            self._serving.add_done_callback(self._ended)

    async def opened(self) -> None:
        """Return once the door is open, or can no longer be."""
        await self._opened.wait()

    def check(self) -> None:
        """Raise if the door was shut by a fault.

        Raises:
            RuntimeError: It was; the log has the reason.
        """
        if self._serving and self._serving.done() and not self._closing:
            raise RuntimeError(f"the express door on port {self.port} was shut by a fault")

    async def close(self) -> None:
        """Take no new client, answer those that are there, and shut the door; again, wait for the same."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        await asyncio.shield(self._closing)

    async def _serve(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience.ready_s):
                while not self._is_ready():  # noqa: ASYNC110 - what it asks has no event
                    await asyncio.sleep(_POLL_S)
        self._listener.listen(BACKLOG)
        self._opened.set()
        logger.info("the express door is open on port %d", self.port)
        await self._server.serve()
        if not self._closing:
            raise RuntimeError("the server ended by itself")

    def _ended(self, serving: asyncio.Task[None]) -> None:
        self._opened.set()
        if not serving.cancelled() and (error := serving.exception()) and not self._closing:
            logger.error("the express door on port %d was shut by a fault", self.port, exc_info=error)

    async def _close(self) -> None:
        self._app.is_draining = True
        if self._opened.is_set() and self._serving and not self._serving.done():
            logger.info("the express door on port %d is closing", self.port)
            await asyncio.sleep(self._patience.announce_s)
            turn_away(self._listener)
            await asyncio.sleep(self._patience.settle_s)
            while waiting_connections(self._listener):  # noqa: ASYNC110 - the kernel's queue has none
                await asyncio.sleep(_POLL_S)
            self._listener.close()
            self._server.stop()
            await asyncio.wait((self._serving,), timeout=self._patience.finish_s)
        self._listener.close()
        if self._serving and not self._serving.done():
            logger.warning("the express door on port %d is shut before every answer was given", self.port)
            self._serving.cancel()
