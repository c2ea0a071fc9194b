"""What a release replica does with blocks: batch their rows and execute them with its model."""

from __future__ import annotations

from serve_app.batching.batcher import Batcher, Execution
from serve_app.batching.policy import FixedPolicy
from serve_app.config.release import ReleaseArgs
from serve_app.dataflow.model import LoadedModel, load_model
from serve_app.observability.metrics import BATCH_ROWS, COMPUTE, MetricSink
from serve_app.types import Block, BlockReply, ReleaseInfo


class BlockServer:
    """One loaded, warm and checked model behind its batcher."""

    def __init__(self, model: LoadedModel, metrics: MetricSink) -> None:
        self.info: ReleaseInfo = model.info
        self._metrics = metrics
        self._batcher = Batcher(
            model.predict,
            FixedPolicy(model.info.max_rows),
            release=model.info.release,
            max_queue_rows=model.info.max_queue_rows,
            observe=self._observe,
        )

    @classmethod
    def load(cls, args: ReleaseArgs, metrics: MetricSink) -> BlockServer:
        """Load a release; it has passed its warm-up and golden checks when this returns.

        Raises:
            ConfigError: Whatever keeps the release from serving, in a sentence for the operator.
        """
        return cls(load_model(args), metrics)

    async def infer(self, block: Block) -> BlockReply:
        """Execute a block's rows; every entry gets its own rows or its own error."""
        return await self._batcher.submit(block)

    def close(self) -> None:
        """End the worker thread."""
        self._batcher.close()

    def _observe(self, execution: Execution) -> None:
        labels = (self.info.model, self.info.version)
        self._metrics.add(BATCH_ROWS, execution.rows, *labels)
        self._metrics.add(COMPUTE, 1000 * execution.compute_s, *labels)
