"""The parts of a route: which version, and how blocks get there."""

from __future__ import annotations

import asyncio
from bisect import bisect
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

from serve_app.batching.coalescer import Coalescer
from serve_app.data_plane import rendezvous
from serve_app.data_plane.cluster import ReleaseClient, ReleaseState
from serve_app.types import Block, BlockReply, ReleaseInfo

STALL_S = 0.3  # a call in flight for longer, and every so often after, has the cluster looked at


@dataclass(frozen=True, slots=True)
class Route:
    """The way to one release that is loaded, warm and checked; `is_inline` as of `ReleaseStatus`."""

    info: ReleaseInfo
    coalescer: Coalescer
    client: ReleaseClient
    is_inline: bool = False


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """One version as people see it: what the table wants for it and what it is.

    Attributes:
        traffic: Percent declared in the table.
        effective: Percent it gets now; 0 unless it is ready.
    """

    model: str
    version: str
    state: ReleaseState
    reason: str
    traffic: float
    effective: float
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """The versions of one model that get traffic now, with the running sums of their weights."""

    versions: tuple[str, ...]
    sums: tuple[float, ...]

    def pick(self, point: float) -> str:
        """The version whose share holds `point`, in [0, 1)."""
        return self.versions[min(bisect(self.sums, point * self.sums[-1]), len(self.versions) - 1)]

    def pick_for(self, model: str, user: str) -> str:
        """The version that a user of the model always gets, as long as the shares stay."""
        starts = (0.0, *self.sums[:-1])
        weights = {tag: end - start for tag, start, end in zip(self.versions, starts, self.sums, strict=True)}
        return rendezvous.pick(model, user, weights)

    def share(self, version: str) -> float:
        """Percent of the traffic that `version` gets."""
        if version not in self.versions:
            return 0.0
        at = self.versions.index(version)
        return 100 * (self.sums[at] - (self.sums[at - 1] if at else 0.0)) / self.sums[-1]


class Sender:
    """Sends blocks to a release.

    A handle call whose replica died is routed again by Serve and, if that was the only one, waits in silence; so a call
    that takes long has the directory look at the cluster out of turn.
    """

    def __init__(
        self,
        client: ReleaseClient,
        info: ReleaseInfo,
        look: Callable[[], None] | None,
        tuned: Callable[[int], None] = lambda revision: None,
    ) -> None:
        """Send to one release.

        Args:
            client: The way to it.
            info: What it says about itself.
            look: Has the cluster looked at; None for a release in this process, which cannot be lost without it.
            tuned: Called with a reply's revision where it shows that the release's settings have changed.
        """
        self._client, self._look, self._tuned = client, look, tuned
        self._revision = info.revision
        self._row_bytes = {spec.name: spec.row_bytes for spec in info.outputs}

    async def __call__(self, blocks: tuple[Block, ...]) -> tuple[BlockReply, ...]:
        """Have the release execute blocks.

        Raises:
            ReplicaLost: The replica died before it answered.
        """
        reply_bytes = sum(block.rows * self._output_row_bytes(block.outputs) for block in blocks)
        with _Watch(self._look) if self._look else nullcontext():
            replies = await self._client.infer(blocks, reply_bytes)
        if replies and replies[0].revision not in (0, self._revision):
            self._revision = replies[0].revision
            self._tuned(self._revision)
        return replies

    def _output_row_bytes(self, outputs: tuple[str, ...]) -> int:
        return sum(self._row_bytes[name] for name in outputs or self._row_bytes)


class _Watch:
    """Has something looked at once it takes long, and every so often from there on."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look, self._loop = look, asyncio.get_running_loop()

    def __enter__(self) -> None:
        self._timer = self._loop.call_later(STALL_S, self._stalled)

    def __exit__(self, *raised: object) -> None:
        self._timer.cancel()

    def _stalled(self) -> None:
        self._look()
        self._timer = self._loop.call_later(STALL_S, self._stalled)
