"""What a release replica does with blocks: batch their rows and execute them with its model."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace

from pydantic import ValidationError

from serve_app.batching.batcher import Batcher
from serve_app.batching.execution import Execution, Traits
from serve_app.batching.latency import LatencyModel
from serve_app.batching.policy import AdaptivePolicy
from serve_app.batching.ragged import Ragged
from serve_app.batching.totals import Totals
from serve_app.config.release import BatchingConfig, ReleaseArgs, ReleaseTuning, merged
from serve_app.dataflow.model import NOWHERE, LoadedModel, load_model
from serve_app.dataflow.streams import Streams
from serve_app.dataflow.tally import Tally
from serve_app.errors import ConfigError, NotSupported, ServeAppError
from serve_app.graph.plan import NodeModel
from serve_app.observability.metrics import BATCH_ROWS, COMPUTE, MetricSink
from serve_app.runtimes.fixed_rows import check_fixed_rows
from serve_app.types import Block, BlockReply, EntryResult, ReleaseInfo, ReleaseStatistics, Tensors, Timings

logger = logging.getLogger("serve_app.release")


class BlockServer:
    """One loaded, warm and checked model behind its batcher."""

    def __init__(self, model: LoadedModel, metrics: MetricSink) -> None:
        self._model, self._metrics = model, metrics
        self._info, self._is_tuned = model.info, False
        self._revision = model.info.revision
        self._latency = LatencyModel({rows: ms / 1000 for rows, ms in model.info.profile.items()})
        self._tally = Tally()
        self._batcher = Batcher(
            model.predicts,
            AdaptivePolicy(model.batching, self._latency),
            traits=_traits(model),
            observe=self._observe,
        )
        self._streams = Streams(model.streams, model.batching, model.info.release) if model.streams else None

    @classmethod
    def load(
        cls,
        args: ReleaseArgs,
        metrics: MetricSink,
        cpus: float = 1.0,
        elsewhere: Mapping[str, NodeModel] = NOWHERE,
        loaded: Callable[[], None] = lambda: None,
    ) -> BlockServer:
        """Load a release; it has passed its warm-up and golden checks when this returns.

        Args:
            args: What to load, and how.
            metrics: Told about every executed batch.
            cpus: CPUs that belong to this replica.
            elsewhere: Models of a graph's nodes that run on other replicas, by node name.
            loaded: Called before the warm-up, whose executions are measured.

        Raises:
            ConfigError: Whatever keeps the release from serving, in a sentence for the operator.
        """
        return cls(load_model(args, cpus, elsewhere, loaded=loaded), metrics)

    @property
    def info(self) -> ReleaseInfo:
        """What the release says about itself now, with the latencies it has learned."""
        profile = {rows: round(1000 * seconds, 4) for rows, seconds in self._latency.usual_by_rows().items()}
        return replace(self._info, profile=profile)

    @property
    def totals(self) -> Totals:
        """What was done so far, and what waits now."""
        return self._batcher.totals

    @property
    def statistics(self) -> ReleaseStatistics:
        """What was executed so far, and for whom."""
        return self._tally.read()

    async def infer(self, *blocks: Block) -> tuple[BlockReply, ...]:
        """Execute the rows of blocks; every entry gets its own rows or its own error."""
        started = time.perf_counter()
        if len(blocks) == 1:  # without tasks, each of which costs a turn of the event loop
            replies = [await self._batcher.submit(blocks[0])]
        else:
            replies = await asyncio.gather(*map(self._batcher.submit, blocks))
        seconds = time.perf_counter() - started
        for reply in replies:
            self._tally.ended(reply.results, seconds)
        return tuple(
            BlockReply(_wanted(reply.outputs, block), reply.results, self._revision)
            for block, reply in zip(blocks, replies, strict=True)
        )

    async def stream(self, block: Block) -> AsyncGenerator[BlockReply, None]:
        """Execute one request of a decoupled model; closing it stops the work.

        Args:
            block: One entry with its rows.

        Returns:
            A reply for each response, and a last one with the error if it ends with one: errors travel as values.
        """
        started = time.perf_counter()
        timings = Timings()
        try:
            if self._streams is None:
                raise NotSupported(f"{self._info.release} has one response for a request: it is not decoupled")
            async with aclosing(self._streams.of(block.inputs)) as responses:
                async for response, took in responses:
                    timings = timings.then(took)
                    yield BlockReply(response, (EntryResult(timings=took),), self._revision)
        except ServeAppError as error:
            result = EntryResult(error)
            yield BlockReply({}, (result,), self._revision)
        else:
            result = EntryResult(timings=timings)
        self._tally.ended((result,), time.perf_counter() - started)

    def configure(self, user_config: Mapping[str, object]) -> None:
        """Take other limits into use without a restart, or keep the old ones and say why in `info`.

        Args:
            user_config: As `ReleaseTuning`; a field left out is as in the release's args.

        Raises:
            ConfigError: It cannot take effect and it is the first one, so that there is nothing to go on with.
        """
        try:
            tuning, batching = self._checked(user_config)
        except ConfigError as error:
            if not self._is_tuned:
                raise
            self._set_info(replace(self._info, tuning_fault=f"user_config is not taken into use: {error}"))
            logger.error("%s: %s", self._info.release, self._info.tuning_fault)
            return
        self._is_tuned = True
        self._batcher.configure(batching)
        if self._streams is not None:
            self._streams.configure(batching)
        self._set_info(
            replace(
                self._info,
                max_rows=batching.max_rows,
                max_queue_rows=batching.max_queue_rows,
                max_batch_bytes=batching.max_batch_bytes,
                allowed_rows=batching.allowed_rows,
                slo_ms=tuning.slo_ms or self._model.info.slo_ms,
                tuning_fault="",
            )
        )
        logger.info("%s runs with %s", self._info.release, batching)

    def close(self) -> None:
        """End the worker threads, and the connections to other servers."""
        self._batcher.close()
        self._model.close()
        if self._streams is not None:
            self._streams.close()

    def _checked(self, user_config: Mapping[str, object]) -> tuple[ReleaseTuning, BatchingConfig]:
        loaded = self._model.batching
        try:
            tuning = ReleaseTuning.model_validate(user_config)
        except ValidationError as error:
            faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
            raise ConfigError("; ".join(faults)) from None
        if self._model.has_own_sizes:
            unsized = loaded.model_copy(update={"allowed_rows": ()})
            batching = merged(tuning.batching, unsized).in_few_sizes()
        else:
            batching = merged(tuning.batching, loaded)
        if batching.max_rows > loaded.max_rows:
            raise ConfigError(
                f"batching.max_rows {batching.max_rows} is over the {loaded.max_rows} that were warmed up at load; "
                "raise it in the args of a new version"
            )
        check_fixed_rows(self._model.fixed_rows, batching, self._info.release)
        if batching.ragged != loaded.ragged:
            raise ConfigError("batching.ragged is part of the signature; change it in the args of a new version")
        return tuning, batching

    def _set_info(self, info: ReleaseInfo) -> None:
        self._info, self._revision = info, info.revision

    def _observe(self, execution: Execution) -> None:
        self._tally.executed(execution)
        labels = (self._info.model, self._info.version)
        self._metrics.add(BATCH_ROWS, execution.rows, *labels)
        self._metrics.add(COMPUTE, 1000 * execution.compute_s, *labels)


def _wanted(outputs: Tensors, block: Block) -> Tensors:
    """What travels: those that an entry of the block wants; none where all its entries failed."""
    if not block.outputs or not outputs:
        return outputs
    return {name: outputs[name] for name in block.outputs}


def _traits(model: LoadedModel) -> Traits:
    ragged = model.batching.ragged
    return Traits(
        release=model.info.release,
        output_row_bytes=sum(spec.row_bytes for spec in model.info.outputs),
        ragged=None if ragged is None else Ragged(ragged, model.mask_dtype),
        ragged_outputs=frozenset(spec.name for spec in model.info.outputs if -1 in spec.shape[1:2]),
        waits=model.waits,
        empty=model.empty,
    )
