"""Merges blocks into batches of rows, executes them in worker threads, and gives every entry its own rows back.

Rows are counted, not requests. What is executed next and when is the policy's decision; the batcher carries it out, and
keeps to what no policy may change: only pieces whose shapes agree share a batch, a batch that fails is halved until
those that cause it stand alone, and every entry gets exactly its own rows or its own error.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from serve_app.batching.backlog import Backlog
from serve_app.batching.execution import (
    NO_TRAITS,
    Answer,
    Batch,
    Execution,
    Instance,
    Predict,
    Traits,
    WholeBlock,
    told,
)
from serve_app.batching.job import Job, Piece, Shapes, shapes_of
from serve_app.batching.policy import BatchPolicy
from serve_app.batching.queue import PieceQueue
from serve_app.batching.totals import Totals
from serve_app.config.release import BatchingConfig
from serve_app.errors import (
    CapacityError,
    DeadlineExceeded,
    ModelRaised,
    Overloaded,
    ServeAppError,
    TooLarge,
    WrongAnswer,
)
from serve_app.types import Block, BlockReply, EntryResult, nbytes_of

logger = logging.getLogger("serve_app.batching")

WHOLE = (WrongAnswer, CapacityError)  # errors that no part of a batch causes: nothing is found by halving it
AMPLE_S = 0.01  # over 30 times what a quick batch takes
AHEAD_S = 0.002  # merging the next batch in a thread of its own costs more than it saves below this


Group = tuple[Shapes, int]
"""Pieces that may share a batch: their shapes, padded, and the length they are padded to (0: not padded)."""


class Batcher:
    """The queues in front of a release's instances.

    Args:
        predicts: Each executes a batch on an instance of its own; called in one thread each, never concurrently.
        policy: What is executed next, and when.
        traits: What must be known of the model.
        clock: Seconds from any origin, monotonic.
        observe: Told about every executed batch.
    """

    def __init__(
        self,
        predicts: Sequence[Predict],
        policy: BatchPolicy,
        *,
        traits: Traits = NO_TRAITS,
        clock: Callable[[], float] = time.perf_counter,
        observe: Callable[[Execution], None] = lambda execution: None,
    ) -> None:
        self._policy, self._traits, self._clock, self._observe = policy, traits, clock, observe
        self._instances = [Instance(predict, traits.release, clock, waits=traits.waits) for predict in predicts]
        self._preparing = ThreadPoolExecutor(1, thread_name_prefix=f"merge-{traits.release}")
        self._queues: dict[Group, PieceQueue] = {}
        self._ahead: deque[Batch] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._backlog = Backlog(clock)
        self._rows = self._missed = self._refused = 0
        self._busy_s = 0.0

    @property
    def queued_rows(self) -> int:
        """Rows that wait here for a batch, without those being executed."""
        return sum(queue.rows for queue in self._queues.values()) + sum(batch.rows for batch in self._ahead)

    @property
    def totals(self) -> Totals:
        """What was done so far, and what waits now, here and at the gateways."""
        queued = self.queued_rows + self._backlog.rows
        return Totals(self._rows, self._busy_s, self._missed, self._refused, queued, len(self._instances))

    async def submit(self, block: Block) -> BlockReply:
        """Execute the block's rows, together with others' where they meet; never raises for a single entry.

        Returns:
            A result for every entry: `Overloaded`, `DeadlineExceeded`, the model's error, or its own rows.
        """
        if not block.entries:
            return BlockReply({}, ())
        now = self._clock()
        self._backlog.update(block)
        self._refused += block.refused
        rows = block.rows
        self._policy.arrived(max(1, rows), now)
        is_idle = self._timer is None and not self.queued_rows
        instance = self._quick_instance(rows) if is_idle else None
        if instance is not None and self._is_batch(block, rows):
            return await self._at_once(instance, WholeBlock(block, rows, now))
        return await self._in_pieces(block, now, at_once=instance is not None)

    async def _in_pieces(self, block: Block, now: float, *, at_once: bool) -> BlockReply:
        try:
            group, job = self._group(shapes_of(block.inputs)), self._job(block, now)
        except ServeAppError as error:
            self._refused += len(block.entries)
            return BlockReply({}, tuple(EntryResult(error) for _ in block.entries))
        if not job.pieces:
            return BlockReply({}, tuple(EntryResult() for _ in block.entries))
        queue = self._queues.setdefault(group, PieceQueue())
        for piece in self._admitted(job):
            queue.push(piece)
        if at_once:
            self._dispatch()
        else:
            self._wake_soon(now)
        try:
            return await job.reply
        except asyncio.CancelledError:
            for piece in job.leave():
                queue.remove(piece)
            raise

    def configure(self, config: BatchingConfig) -> None:
        """Use other limits from now on; what waits already and is larger than they allow is cut anew."""
        self._policy.config = config
        for queue in self._queues.values():
            for piece in list(queue.in_order(queue.rows)):
                if piece.rows > config.max_rows:
                    queue.remove(piece)
                    for part in piece.job.cut(piece, config.max_rows):
                        queue.push(part)

    def close(self) -> None:
        """End the worker threads once their running batches are done."""
        self._preparing.shutdown(wait=False, cancel_futures=True)
        for instance in self._instances:
            instance.close()

    def _group(self, shapes: Shapes) -> Group:
        return (shapes, 0) if self._traits.ragged is None else self._traits.ragged.group(shapes)

    def _job(self, block: Block, now: float) -> Job:
        config = self._policy.config
        row_bytes = nbytes_of(block.inputs) // max(1, block.rows) + self._traits.output_row_bytes
        if row_bytes > config.max_batch_bytes:
            raise TooLarge("one row with its outputs", row_bytes, config.max_batch_bytes, "bytes")
        max_rows = min(config.max_rows, max(1, config.max_batch_bytes // max(1, row_bytes)))
        return Job(block, now, self._traits.release, max_rows=max_rows, row_bytes=row_bytes)

    def _admitted(self, job: Job) -> list[Piece]:
        """The pieces of entries that fit the queue as a whole; the others are failed."""
        limit = self._policy.config.max_queue_rows
        room = limit - self.queued_rows
        if job.block.rows <= room:
            return job.pieces
        refused: set[int] = set()
        for index, entry in enumerate(job.block.entries):
            if entry.rows <= room:
                room -= entry.rows
            else:
                refused.add(index)
        self._refused += len(refused)
        retry_after_s = self._retry_after_s()
        for piece in job.pieces:
            if piece.entry in refused:
                piece.waits = False
                job.fail(piece, Overloaded(self._traits.release, limit, retry_after_s))
        return [piece for piece in job.pieces if piece.entry not in refused]

    def _retry_after_s(self) -> float:
        most = self._policy.config.max_rows
        batches = self.queued_rows / most / len(self._instances) + 1
        return round(max(0.1, batches * self._policy.usual_s(most)), 1)

    def _wake_soon(self, at: float) -> None:
        """Look at the queues at a clock reading, or in the loop's next turn if that is over."""
        if self._timer is not None:
            self._timer.cancel()
        loop, delay = asyncio.get_running_loop(), at - self._clock()
        self._timer = loop.call_later(max(0.0, delay), self._dispatch)

    def _dispatch(self) -> None:
        """Start batches on the free instances, as the policy says."""
        self._timer = None
        wake_at = float("inf")
        waiting: set[Group] = set()
        while instance := self._free_instance():
            if self._ahead:
                self._start(instance, self._ahead.popleft())
                continue
            group = self._most_urgent(waiting)
            if group is None:
                break
            batch, wait_until = self._next_batch(group, self._clock(), may_wait=self._others_are_busy(instance))
            if batch is not None:
                self._start(instance, batch)
                if not instance.is_busy:  # it was quick; others have their turn before the next one
                    wake_at = 0.0 if self.queued_rows else wake_at
                    break
            elif wait_until is not None:
                waiting.add(group)
                wake_at = min(wake_at, wait_until)
        else:
            self._prepare_ahead()
        if wake_at < float("inf"):
            self._wake_soon(wake_at)

    def _free_instance(self) -> Instance | None:
        return next((instance for instance in self._instances if not instance.is_busy), None)

    def _others_are_busy(self, instance: Instance) -> bool:
        return all(other.is_busy for other in self._instances if other is not instance)

    def _most_urgent(self, without: set[Group]) -> Group | None:
        """The group with the most urgent head; groups that nothing waits in are forgotten."""
        heads: list[tuple[int, float, float, int, Group]] = []
        for number, (group, queue) in enumerate(list(self._queues.items())):
            head = queue.head()
            if head is None:
                del self._queues[group]
            elif group not in without:
                heads.append((head.priority, head.deadline, head.job.submitted, number, group))
        return min(heads)[-1] if heads else None

    def _next_batch(self, group: Group, now: float, *, may_wait: bool) -> tuple[Batch | None, float | None]:
        """What the policy wants of a group: a batch, or to wait until a clock reading."""
        step = self._policy.next_step(self._queues[group], now, may_wait=may_wait)
        for piece in step.hopeless:
            self._expire(piece)
        pieces = [piece for piece in step.pieces if not self._is_in_vain(piece)]
        if not pieces:
            return None, step.wait_until_s
        return self._batch(pieces, group[1]), None

    def _batch(self, pieces: list[Piece], bucket: int) -> Batch:
        rows = sum(piece.rows for piece in pieces)
        traits = self._traits
        return Batch(pieces, rows, self._policy.config.executed_rows(rows), bucket, traits.ragged, traits.empty)

    def _prepare_ahead(self) -> None:
        """Merge and pad a full next batch while the instances are busy, where that takes long enough to pay."""
        most = self._policy.config.max_rows
        if len(self._ahead) >= len(self._instances) or self._policy.usual_s(most) < AHEAD_S:
            return
        group = self._most_urgent(set())
        if group is None or self._queues[group].rows < most:
            return
        starts = max(self._clock(), min(instance.ends_at for instance in self._instances))
        batch, _ = self._next_batch(group, starts, may_wait=False)
        if batch is not None:
            batch.inputs = asyncio.get_running_loop().run_in_executor(self._preparing, batch.merged)
            self._ahead.append(batch)

    def _is_in_vain(self, piece: Piece) -> bool:
        """Whether another part of its entry has failed, so that nobody would take its rows; it is then ended too."""
        if not piece.job.has_failed(piece.entry):
            return False
        piece.job.fail(piece, ModelRaised(self._traits.release, "on another part of the request"))
        return True

    def _expire(self, piece: Piece) -> None:
        self._missed += not piece.job.has_failed(piece.entry)
        allowed = piece.job.block.entries[piece.entry].timeout_s or 0.0
        piece.job.fail(piece, DeadlineExceeded(self._traits.release, round(allowed, 3)))

    def _quick_instance(self, rows: int) -> Instance | None:
        """Who had better execute so many rows at once than in the next turn of the event loop; None if nobody."""
        executed = self._policy.config.executed_rows(min(rows, self._policy.config.max_rows))
        instance = self._free_instance()
        return instance if instance is not None and instance.is_quick(executed) else None

    def _is_batch(self, block: Block, rows: int) -> bool:
        """Whether a block is a batch as it is, whose requests have more time than any policy could grudge them."""
        config, ample_s = self._policy.config, max(AMPLE_S, self._policy.usual_s(rows))
        return (
            self._traits.ragged is None
            and config.executed_rows(rows) == rows
            and all(entry.rows and (entry.timeout_s is None or entry.timeout_s > ample_s) for entry in block.entries)
            and config.fits(rows, nbytes_of(block.inputs) + rows * self._traits.output_row_bytes)
        )

    async def _at_once(self, instance: Instance, batch: WholeBlock) -> BlockReply:
        """Execute a quick batch in this very turn of the event loop; if it raises, its entries go on in pieces."""
        started = self._clock()
        try:
            answer = instance.run(batch)
        except Exception as error:  # whatever a model raises is that batch's error, and the queue goes on
            job = self._job(batch.block, batch.submitted)
            pieces, budget = self._batch(job.pieces, 0), _budget(len(job.pieces)) - 1
            self._go_on(instance, self._left_of(pieces, self._failed(pieces, error, started), budget), budget)
            return await job.reply
        self._account(batch, answer, started)
        return batch.reply(answer, started)

    def _start(self, instance: Instance, batch: Batch) -> None:
        """Execute a batch, in a task of its own unless it is quick."""
        budget, batches = _budget(len(batch.pieces)), [batch]
        if batch.inputs is None and instance.is_quick(batch.executed_rows):
            budget -= 1
            batches = self._left_of(batch, self._try_now(instance, batch), budget)
        self._go_on(instance, batches, budget)

    def _go_on(self, instance: Instance, batches: list[Batch], budget: int) -> None:
        """Execute batches of one origin, if there are any, in a task."""
        if not batches:
            return
        instance.is_busy = True
        instance.ends_at = self._clock() + self._policy.usual_s(sum(batch.rows for batch in batches))
        running = asyncio.get_running_loop().create_task(self._execute(instance, batches, budget))
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def _execute(self, instance: Instance, batches: list[Batch], budget: int) -> None:
        """Execute batches; one that raises is halved until those that cause it stand alone, within a budget."""
        try:
            while batches:
                batch = batches.pop()
                budget -= 1
                batches += self._left_of(batch, await self._try(instance, batch), budget)
        finally:
            instance.is_busy = False
            self._dispatch()

    def _left_of(self, batch: Batch, error: ServeAppError | None, budget: int) -> list[Batch]:
        """What of an executed batch is to be executed again: the halves of one that raised."""
        if error is None:
            return []
        if len(batch.pieces) > 1 and budget > 0 and not isinstance(error, WHOLE):
            return self._halves(batch)
        for piece in batch.pieces:
            piece.job.fail(piece, error)
        return []

    def _halves(self, batch: Batch) -> list[Batch]:
        """The two halves of a failed batch, without what has become too late meanwhile; the first one last."""
        now, alive = self._clock(), list[Piece]()
        for piece in batch.pieces:
            if piece.deadline <= now:
                self._expire(piece)
            else:
                alive.append(piece)
        middle = len(alive) // 2
        return [self._batch(half, batch.bucket) for half in (alive[middle:], alive[:middle]) if half]

    async def _try(self, instance: Instance, batch: Batch) -> ServeAppError | None:
        """Execute pieces together and give them their rows, or give back why that failed."""
        started = self._clock()
        try:
            answer = await instance.execute(batch)
        except Exception as error:  # whatever a model raises is that batch's error, and the queue goes on
            return self._failed(batch, error, started)
        self._account(batch, answer, started)
        batch.hand_out(answer, started, self._traits.ragged_outputs)
        return None

    def _try_now(self, instance: Instance, batch: Batch) -> ServeAppError | None:
        """As `_try`, in the event loop itself."""
        started = self._clock()
        try:
            answer = instance.run(batch)
        except Exception as error:  # as in `_try`
            return self._failed(batch, error, started)
        self._account(batch, answer, started)
        batch.hand_out(answer, started, self._traits.ragged_outputs)
        return None

    def _failed(self, batch: Batch, error: Exception, started: float) -> ServeAppError:
        self._busy_s += self._clock() - started
        return told(error, batch, self._traits.release)

    def _account(self, batch: Batch | WholeBlock, answer: Answer, started: float) -> None:
        took = self._clock() - started
        self._busy_s += took
        self._rows += batch.rows
        self._policy.observe(batch.executed_rows, took)
        try:
            self._observe(Execution(batch.rows, answer.compute_s, answer.batch_s))
        except Exception:  # a callback from outside may raise anything; the rows are computed, their clients get them
            logger.exception("%s: a batch was executed but not accounted for", self._traits.release)


def _budget(pieces: int) -> int:
    """Most executions of so many pieces and of what they are halved into."""
    return 4 * pieces.bit_length()
