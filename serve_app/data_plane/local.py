"""Releases in this very process: embedded use, the edge, and tests, without Ray."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Protocol

from serve_app.data_plane.cluster import ReleaseState, ReleaseStatus
from serve_app.types import Block, BlockReply, ReleaseInfo, ReleaseStatistics


class BlockExecutor(Protocol):
    """Executes blocks of one release, as `dataflow.block_server.BlockServer` does."""

    @property
    def info(self) -> ReleaseInfo:
        """What the release says about itself."""

    @property
    def statistics(self) -> ReleaseStatistics:
        """What it has executed."""

    async def infer(self, *blocks: Block) -> tuple[BlockReply, ...]:
        """Execute the rows of blocks."""

    def stream(self, block: Block) -> AsyncGenerator[BlockReply, None]:
        """Execute one request of a decoupled model."""


class LocalCluster:
    """A cluster of one process.

    Args:
        executors: Loaded releases, in any order.
        failures: Why a release could not be loaded, by its name.
    """

    def __init__(self, *executors: BlockExecutor, failures: Mapping[str, str] | None = None) -> None:
        self._executors = {executor.info.release: executor for executor in executors}
        self._failures = dict(failures or {})

    async def statuses(self) -> Mapping[str, ReleaseStatus]:
        """Loaded releases are ready."""
        failed = {name: ReleaseStatus(ReleaseState.UNAVAILABLE, reason) for name, reason in self._failures.items()}
        return {**failed, **{name: ReleaseStatus(ReleaseState.READY, replicas=1) for name in self._executors}}

    def client(self, release: str) -> LocalClient:
        """The way to a loaded release."""
        return LocalClient(self._executors[release])


class LocalClient:
    """Calls a release by a plain method call."""

    def __init__(self, executor: BlockExecutor) -> None:
        self._executor = executor

    async def describe(self) -> ReleaseInfo:
        """What the release says about itself."""
        return self._executor.info

    async def statistics(self) -> ReleaseStatistics:
        """What the release has executed."""
        return self._executor.statistics

    async def infer(self, blocks: tuple[Block, ...], reply_bytes: int) -> tuple[BlockReply, ...]:
        """Execute blocks; nothing travels, so `reply_bytes` makes no difference."""
        return await self._executor.infer(*blocks)

    async def stream(self, block: Block) -> AsyncGenerator[BlockReply, None]:
        """Execute one request of a decoupled model."""
        async with aclosing(self._executor.stream(block)) as replies:
            async for reply in replies:
                yield reply

    def close(self) -> None:
        """There is nothing to give up."""
