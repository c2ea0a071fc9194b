"""The shell of a release's model."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import ExitStack, aclosing
from dataclasses import asdict
from functools import partial

import ray
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.logs import use_serve_log
from deployments.memory import freeze_heap, keep_freed_pages
from deployments.metrics import RayMetrics
from deployments.nodes import connect
from deployments.starting import starting
from serve_app.autoscaling.stats import Meter
from serve_app.config.release import ReleaseArgs
from serve_app.data_plane.direct_calls import socket_path
from serve_app.data_plane.direct_server import DirectServer
from serve_app.data_plane.parcel import Inbox, Parcel, Replies
from serve_app.dataflow.block_server import BlockServer
from serve_app.types import Block, BlockReply, ReleaseInfo, ReleaseStatistics


class Model:
    """One version of one model, or a node of a graph; the replica is ready once it is loaded, warm and checked.

    Args:
        args: What to load.
        nodes: Of a graph, those on replicas of their own. Serve awaits this constructor.
    """

    _direct: DirectServer | None = None

    async def __init__(self, args: ReleaseArgs, nodes: Mapping[str, DeploymentHandle]) -> None:  # type: ignore[misc]
        use_serve_log()
        cpus = ray.get_runtime_context().get_assigned_resources().get("CPU", 1.0)
        with ExitStack() as start:
            start.enter_context(starting())
            elsewhere = await connect(args.release, nodes)

            def loaded() -> None:
                """What the warm-up measures is of a replica that waits for no others, and that has its pages."""
                start.close()
                keep_freed_pages()

            # In a thread, because the nodes are called in this loop, and the warm-up calls them.
            load = partial(BlockServer.load, args, RayMetrics(), cpus, elsewhere, loaded=loaded)
            self._server = await asyncio.to_thread(load)
        self._meter, self._inbox = Meter(), Inbox()
        own_id = serve.get_replica_context().replica_id.unique_id
        self._direct = DirectServer(socket_path(os.getpid(), own_id), self.infer)
        await self._direct.listen()
        freeze_heap()

    async def reconfigure(self, user_config: Mapping[str, object]) -> None:
        """Take other batching limits into use; nothing restarts, not even for those that are wrong."""
        self._server.configure(user_config)

    def describe(self) -> ReleaseInfo:
        """What a gateway must know about this release."""
        return self._server.info

    def statistics(self) -> ReleaseStatistics:
        """What this replica has executed."""
        return self._server.statistics

    async def infer(self, *sent: Block | Parcel) -> Replies:
        """Execute the rows of blocks; no reply at all tells the gateway to send them inside the message."""
        blocks = self._inbox.open_all(sent)
        return () if blocks is None else await self._inbox.answered(sent, await self._server.infer(*blocks))

    async def stream(self, block: Block) -> AsyncGenerator[BlockReply, None]:
        """Answer one request of a decoupled model, response by response."""
        async with aclosing(self._server.stream(block)) as replies:
            async for reply in replies:
                yield reply

    async def __del__(self) -> None:
        """Serve calls this last of all, with the calls of its handles answered."""
        if self._direct:
            await self._direct.close()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """What the autoscaling policy goes by; Ray asks where the release has an `autoscaling_config`."""
        return asdict(self._meter.read(self._server.totals, self._server.info))
