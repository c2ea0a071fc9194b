"""Clusters whose releases come, fail, hang and go."""

from __future__ import annotations

import asyncio

from serve_app.data_plane.cluster import ReleaseState, ReleaseStatus
from serve_app.data_plane.local import LocalCluster
from support.arithmetic import Executor


class Changing:
    """A cluster whose releases come, fail and go."""

    def __init__(self, *versions: str) -> None:
        self.ready = {f"arithmetic-{version}": Executor(version) for version in versions}
        self.others: dict[str, ReleaseStatus] = {}
        self.asked, self.replicas = 0, 3
        self.describe: dict[str, object] = {}

    async def statuses(self):
        self.asked += 1
        return {
            **self.others,
            **{name: ReleaseStatus(ReleaseState.READY, replicas=self.replicas) for name in self.ready},
        }

    def client(self, release):
        inner = LocalCluster(*self.ready.values()).client(release)
        if release in self.describe:
            inner.describe = self.describe[release]
        return inner


class Silent:
    """Lets a cluster's calls hang, as those of a handle whose only replica died, or until they are released."""

    def __init__(self, cluster: Changing, until_released: bool = False) -> None:
        self.called, self.released, self.cancelled = asyncio.Event(), asyncio.Event(), False
        self._inner, self._until_released = cluster.client, until_released
        cluster.client = self.client

    def client(self, release):
        made = self._inner(release)
        answer, silent = made.infer, self

        async def infer(blocks, reply_bytes):
            silent.called.set()
            try:
                await (silent.released.wait() if silent._until_released else asyncio.Event().wait())
            except asyncio.CancelledError:
                silent.cancelled = True
                raise
            return await answer(blocks, reply_bytes)

        made.infer = infer
        return made
