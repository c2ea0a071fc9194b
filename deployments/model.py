"""The shell of a release's model."""

from __future__ import annotations

from deployments.logs import use_serve_log
from deployments.metrics import RayMetrics
from serve_app.config.release import ReleaseArgs
from serve_app.dataflow.block_server import BlockServer
from serve_app.types import Block, BlockReply, ReleaseInfo


class Model:
    """One version of one model; the replica is ready once it is loaded, warm and checked."""

    def __init__(self, args: ReleaseArgs) -> None:
        use_serve_log()
        self._server = BlockServer.load(args, RayMetrics())

    def describe(self) -> ReleaseInfo:
        """What a gateway must know about this release."""
        return self._server.info

    async def infer(self, block: Block) -> BlockReply:
        """Execute a block's rows."""
        return await self._server.infer(block)
