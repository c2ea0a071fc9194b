"""Releases that this gateway replica executes itself, beside those of the cluster: no hop, the same rules."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from serve_app.config.release import ReleaseArgs
from serve_app.data_plane.cluster import Cluster, ReleaseClient, ReleaseState, ReleaseStatus
from serve_app.data_plane.local import BlockExecutor, LocalClient
from serve_app.dataflow.block_server import BlockServer
from serve_app.errors import InvalidTable, ServeAppError
from serve_app.observability.metrics import NoMetrics
from serve_app.types import Block, BlockReply

logger = logging.getLogger("serve_app.inline")

FIRST_LOAD_S = 30.0  # a new gateway replica that is not done by then serves what it can


class InlineExecutor(BlockExecutor, Protocol):
    """A loaded, warm and checked release, as `dataflow.block_server.BlockServer` is."""

    def close(self) -> None:
        """End its threads."""


Load = Callable[[ReleaseArgs], InlineExecutor]
"""Loads a release; blocks, so it is called in a thread. What keeps the release from serving is raised."""


@dataclass(slots=True, eq=False)
class _Release:
    """A version that is being loaded, is loaded, or could not be.

    Attributes:
        users: Clients that may call it, and streams under way.
    """

    args: ReleaseArgs
    server: InlineExecutor | None = None
    fault: str = ""
    users: int = 0

    @property
    def status(self) -> ReleaseStatus:
        """As the cluster says it of an application."""
        if self.server is not None:
            return ReleaseStatus(ReleaseState.READY, replicas=1, is_inline=True)
        if self.fault:
            return ReleaseStatus(ReleaseState.UNAVAILABLE, self.fault, is_inline=True)
        return ReleaseStatus(ReleaseState.LOADING, "it is being loaded in the gateway", is_inline=True)


class InlineReleases:
    """What the traffic table has this replica load: one after the other, each in a thread.

    A release is closed once the table no longer names it and no client has a request on it.
    """

    def __init__(self, load: Load | None = None) -> None:
        self._load = load or partial(BlockServer.load, metrics=NoMetrics())
        self._releases: dict[str, _Release] = {}
        self._declared: frozenset[str] = frozenset()
        self._loading: set[asyncio.Task[None]] = set()
        self._first: frozenset[asyncio.Task[None]] | None = None
        self._turn = asyncio.Lock()

    def declare(self, releases: Iterable[ReleaseArgs], changed: Callable[[], None]) -> None:
        """Load what is new, and what could not be loaded before; let go of what is missing once nobody uses it.

        Args:
            releases: All there should be.
            changed: Called when one was loaded or could not be.

        Raises:
            InvalidTable: A release would change; nothing was.
        """
        wanted = {args.release: args for args in releases}
        for name, args in wanted.items():
            if (held := self._releases.get(name)) and not held.fault and _given(held.args) != _given(args):
                raise InvalidTable(f"{name} is in the gateway with other settings; a changed release is a new version")
        self._declared = frozenset(wanted)
        for name, args in wanted.items():
            if (held := self._releases.get(name)) is None or held.fault:
                self._start(_Release(args), changed)
        if self._first is None:
            self._first = frozenset(self._loading)
        self._let_go()

    async def first_loaded(self) -> None:
        """Return once all that the first table named is loaded, cannot be, or takes too long; later at once."""
        if self._first:
            await asyncio.wait(self._first, timeout=FIRST_LOAD_S)

    def statuses(self) -> Mapping[str, ReleaseStatus]:
        """What the table names, and what is only still in use."""
        return {
            name: release.status
            for name, release in self._releases.items()
            if name in self._declared or release.server is not None
        }

    def is_settled(self, name: str) -> bool:
        """Whether the table names the release and it is ready."""
        return name in self._declared and self._releases[name].server is not None

    def client(self, name: str) -> ReleaseClient | None:
        """The way to a release; None if it is not, or no longer, loaded."""
        release = self._releases.get(name)
        if release is None or release.server is None:
            return None
        return _InlineClient(release, release.server, self._let_go)

    async def close(self) -> None:
        """Let go of everything, used or not."""
        for task in self._loading:
            task.cancel()
        await asyncio.gather(*self._loading, return_exceptions=True)
        for release in self._releases.values():
            if release.server is not None:
                release.server.close()
        self._releases.clear()

    def _start(self, release: _Release, changed: Callable[[], None]) -> None:
        self._releases[release.args.release] = release
        task = asyncio.get_running_loop().create_task(self._load_in_turn(release, changed))
        self._loading.add(task)
        task.add_done_callback(self._loading.discard)

    async def _load_in_turn(self, release: _Release, changed: Callable[[], None]) -> None:
        name = release.args.release
        async with self._turn:
            try:
                release.server = await asyncio.to_thread(self._load, release.args)
                logger.info("%s is loaded in the gateway", name)
            except Exception as error:  # foreign code; whatever it is, people are told, and the others serve
                release.fault = str(error) if isinstance(error, ServeAppError) else f"{type(error).__name__}: {error}"
                logger.error("%s cannot be loaded in the gateway: %s", name, release.fault)
        self._let_go()
        changed()

    def _let_go(self) -> None:
        for name, release in list(self._releases.items()):
            if name in self._declared or release.users or not (release.server or release.fault):
                continue
            del self._releases[name]
            if release.server is not None:
                release.server.close()
                logger.info("%s is no longer in the gateway", name)


class _InlineClient(LocalClient):
    """Calls a release of this process, which stays loaded until the client is closed and its streams have ended."""

    def __init__(self, release: _Release, server: InlineExecutor, left: Callable[[], None]) -> None:
        super().__init__(server)
        self._release, self._left = release, left
        release.users += 1

    async def stream(self, block: Block) -> AsyncGenerator[BlockReply, None]:
        """Execute one request of a decoupled model."""
        self._release.users += 1
        try:
            async with aclosing(super().stream(block)) as replies:
                async for reply in replies:
                    yield reply
        finally:
            self.close()

    def close(self) -> None:
        """One user less."""
        self._release.users -= 1
        self._left()


class JoinedCluster:
    """The releases of a cluster and those of this process, as one cluster.

    A version that is in both places is answered by this process once the table names it and it is ready, by the
    application while that is ready and the table does not.
    """

    def __init__(self, cluster: Cluster, inline: InlineReleases) -> None:
        self._cluster, self._inline = cluster, inline
        self._told: dict[str, ReleaseStatus] = {}

    async def statuses(self) -> Mapping[str, ReleaseStatus]:
        """Every release there is, by name."""
        told = dict(await self._cluster.statuses())
        for name, status in self._inline.statuses().items():
            outside = told.get(name)
            if outside is None or outside.state is not ReleaseState.READY or self._inline.is_settled(name):
                told[name] = status
        self._told = told
        return told

    def client(self, release: str) -> ReleaseClient:
        """The way to a release that `statuses` called READY."""
        client = self._inline.client(release) if self._told[release].is_inline else None
        return client or self._cluster.client(release)


def _given(args: ReleaseArgs) -> Mapping[str, object]:
    """What somebody wrote: a field left out may be the manifest's, even if it has the same value."""
    return args.model_dump(exclude_unset=True)
