"""The releases that can be called now, kept up to date from what the cluster says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from serve_app.batching.coalescer import Bounds, Coalescer
from serve_app.batching.flights import Flights, call_seconds
from serve_app.batching.latency import LatencyModel
from serve_app.data_plane.cluster import Cluster, ReleaseState, ReleaseStatus
from serve_app.data_plane.local import LocalClient
from serve_app.data_plane.route import Route, Sender
from serve_app.errors import ReplicaLost
from serve_app.types import ReleaseInfo

logger = logging.getLogger("serve_app.connections")

STATUS_TIMEOUT_S = 10.0  # how long the cluster may take to say how its releases are
CONNECT_TIMEOUT_S = 10.0  # how long a release may take to describe itself
CONNECT_WAIT_S = 1.0  # how long a look at the cluster waits for releases that are new in it
RENEW_S = 30.0  # how long a tuned release is asked until a replica describes the settings of its last reply
RENEW_PAUSE_S = 0.2  # between two times
SHAPES_IN_A_CALL = 4  # full batches in it where only rows of about one length share one
_UNKNOWN = ReleaseStatus(ReleaseState.UNAVAILABLE, "no application of that name is deployed")


class Connections:
    """Routes to the releases that are wanted, ready, and have described themselves.

    Args:
        cluster: Where the releases run.
        changed: Called whenever a route came or went.
        look: Called when the cluster should be looked at out of turn.
    """

    def __init__(self, cluster: Cluster, changed: Callable[[], None], look: Callable[[], None]) -> None:
        self._cluster, self._changed, self._look = cluster, changed, look
        self.routes: dict[str, Route] = {}
        self._statuses: Mapping[str, ReleaseStatus] = {}
        self._looked_for: set[str] = set()
        self._connecting: dict[str, asyncio.Task[None]] = {}
        self._renewing: dict[str, asyncio.Task[None]] = {}
        self._revisions: dict[str, int] = {}
        self._faults: dict[str, str] = {}
        self._leaving: list[Route] = []

    async def refresh(self, wanted: Callable[[], set[str]]) -> None:
        """Ask the cluster once; connect to wanted releases that became ready, leave those that no longer are.

        Args:
            wanted: Names of the releases that should have a route; asked once the cluster has answered.

        Raises:
            TimeoutError: The cluster did not answer.
        """
        async with asyncio.timeout(STATUS_TIMEOUT_S):
            self._statuses = await self._cluster.statuses()
        looked_for = wanted()
        ready = {name for name in looked_for if self.status(name).state is ReleaseState.READY}
        if gone := set(self.routes) - ready:
            for name in gone:
                self._leave(name)
            self._changed()  # before anything is waited for: nobody may choose a route that is not there
        self._abandon_dead()
        moved = {name for name, route in self.routes.items() if route.is_inline != self.status(name).is_inline}
        await self._connect_all((ready - set(self.routes)) | moved)
        for name, route in self.routes.items():
            route.coalescer.slots = max(1, self.status(name).replicas)
        self._looked_for = looked_for
        self._changed()

    def is_settled(self, releases: set[str]) -> bool:
        """Whether the cluster was asked for releases, and each that it has, or that loads in here, can be called."""
        return releases <= self._looked_for and not any(
            release not in self.routes and self._is_coming(release) for release in releases
        )

    def _is_coming(self, release: str) -> bool:
        status = self.status(release)
        return status.state is ReleaseState.READY or (status.is_inline and status.state is ReleaseState.LOADING)

    def lost(self, release: str) -> None:
        """A replica of the release died: if it was the only one, leave the route until another one describes itself."""
        if release in self.routes and self.status(release).replicas <= 1:
            logger.warning("%s lost its replica; its traffic waits or goes to other versions", release)
            self.routes[release].coalescer.refuse_waiting(ReplicaLost(release, was_sent=False))
            self._leave(release)
            self._changed()
            self._look()

    def status(self, release: str) -> ReleaseStatus:
        """What the cluster said last about a release."""
        return self._statuses.get(release, _UNKNOWN)

    def state(self, release: str) -> ReleaseState:
        """READY only once there is a route."""
        if release in self.routes:
            return ReleaseState.READY
        state = self.status(release).state
        return ReleaseState.LOADING if state is ReleaseState.READY else state

    def reason(self, release: str) -> str:
        """Why there is no route; empty if there is one."""
        if release in self.routes:
            return ""
        return self.status(release).reason or self._faults.get(release, "it is being connected")

    async def close(self) -> None:
        """Stop connecting."""
        tasks = [*self._connecting.values(), *self._renewing.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _leave(self, release: str) -> None:
        """Give up a route. What waits on a release that still runs is answered by it, else it goes elsewhere."""
        route = self.routes.pop(release)
        if self.status(release).state is not ReleaseState.READY:
            route.coalescer.refuse_waiting(ReplicaLost(release, was_sent=False))
        self._leaving.append(route)

    def _abandon_dead(self) -> None:
        """Give back what is in flight on releases that have no replica left to answer it, and idle clients."""
        for route in self._leaving:
            release = route.info.release
            status = self.status(release)
            if status.replicas + status.stopping == 0:
                route.coalescer.refuse_waiting(ReplicaLost(release, was_sent=False))
                route.coalescer.abandon_flights(ReplicaLost(release))
            if route.coalescer.is_idle:
                route.client.close()
        self._leaving = [route for route in self._leaving if not route.coalescer.is_idle]

    async def _connect_all(self, releases: set[str]) -> None:
        """Connect to releases side by side; one that does not answer soon goes on in the background."""
        self._connecting = {release: task for release, task in self._connecting.items() if not task.done()}
        new = releases - set(self._connecting)
        for release in new:
            self._connecting[release] = asyncio.get_running_loop().create_task(self._connect(release))
        if new:
            await asyncio.wait([self._connecting[release] for release in new], timeout=CONNECT_WAIT_S)

    def _renew(self, release: str, revision: int) -> None:
        """Have a release that was tuned describe itself once more."""
        self._revisions[release] = revision
        if release not in self._renewing or self._renewing[release].done():
            self._renewing[release] = asyncio.get_running_loop().create_task(self._describe_again(release))

    async def _describe_again(self, release: str) -> None:
        """Ask until the answer is from a replica that has the settings of the last reply: others may be tuned later."""
        route = self.routes.get(release)
        try:
            async with asyncio.timeout(RENEW_S):
                while route is not None:
                    if await self._is_renewed(release, route.coalescer):
                        return
                    await asyncio.sleep(RENEW_PAUSE_S)  # the replicas tell nobody when they have been tuned
        except TimeoutError:
            logger.warning("%s was tuned and no replica describes the settings of its last reply", release)

    async def _is_renewed(self, release: str, coalescer: Coalescer) -> bool:
        """Whether the release has described the settings of its last reply, or has another route or none by now."""
        route = self.routes.get(release)
        if route is None or route.coalescer is not coalescer:
            return True
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                info = await route.client.describe()
        except Exception as error:  # as in `_connect`; what is known serves on
            logger.warning("%s was tuned but does not describe itself: %r", release, error)
            return False
        if self.routes.get(release) is route and info.revision != route.info.revision:
            coalescer.bounds = _bounds(info)
            self.routes[release] = replace(route, info=info)
            logger.info("%s was tuned", release)
        return info.revision == self._revisions[release]

    async def _connect(self, release: str) -> None:
        client, is_inline = self._cluster.client(release), self.status(release).is_inline
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                info = await client.describe()
        except Exception as error:  # Ray's errors have no common base; whatever it was is the reason people are told
            self._faults[release] = f"it does not describe itself: {type(error).__name__} {error}".strip()[:300]
            logger.warning("%s: %s", release, self._faults[release])
            client.close()
            return
        look = None if isinstance(client, LocalClient) else self._look
        profile_s = {rows: ms / 1000 for rows, ms in info.profile.items()}
        latency = LatencyModel(call_seconds(profile_s, info.max_rows, info.instances))
        coalescer = Coalescer(
            Sender(client, info, look, partial(self._renew, release)),
            release=release,
            bounds=_bounds(info),
            ragged=_has_many_shapes(info),
            flights=Flights(max(1, self.status(release).replicas), latency),
            on_lost=self.lost,
        )
        if (before := self.routes.get(release)) is not None:  # it has moved; what waits there goes on here
            before.coalescer.refuse_waiting(ReplicaLost(release, was_sent=False))
            self._leaving.append(before)
        self.routes[release] = Route(info, coalescer, client, is_inline)
        self._changed()
        logger.info("%s is taken into use on %s", release, info.device)


def _bounds(info: ReleaseInfo) -> Bounds:
    """A call is what a replica executes at once: all of it is answered together, so more would wait for each other."""
    rows = info.max_rows * info.instances * (SHAPES_IN_A_CALL if _has_many_shapes(info) else 1)
    return Bounds(info.max_queue_rows, rows, calls_ahead=1)  # one is executed while the next one travels


def _has_many_shapes(info: ReleaseInfo) -> bool:
    return any(-1 in spec.shape[1:] for spec in info.inputs)
