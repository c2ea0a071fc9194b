"""Merges blocks into batches of rows, executes them in a worker thread, and gives every entry its own rows back.

Rows are counted, not requests. There is no timer: while a batch runs, rows collect; when it ends, the next one starts
with what has collected, so an idle server adds no wait. Only pieces with the same shapes share a batch.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from serve_app.batching.job import Job, Piece, Run, Shapes, join, runs_of
from serve_app.batching.policy import BatchPolicy
from serve_app.errors import DeadlineExceeded, ModelRaised, Overloaded, ServeAppError, WrongAnswer
from serve_app.types import Block, BlockReply, EntryResult, Tensors, Timings, rows_of

logger = logging.getLogger("serve_app.batching")

Predict = Callable[[Tensors], Tensors]
"""Executes one batch, blocking; gives back every output with as many rows as it was given."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What one executed batch was: given to the observer, for metrics."""

    rows: int
    compute_s: float


@dataclass(frozen=True, slots=True)
class _Answer:
    """A batch's outputs and the seconds spent around and in the model."""

    outputs: Tensors
    batch_s: float
    compute_s: float


class Batcher:
    """The one queue in front of a runtime.

    Args:
        predict: Executes a batch; called in one worker thread, never concurrently.
        policy: How many rows a batch may have.
        release: Name for errors, `{model}-{version}`.
        max_queue_rows: Most rows that wait; entries beyond it are refused with `Overloaded`.
        clock: Seconds from any origin, monotonic.
        observe: Told about every executed batch.
    """

    def __init__(
        self,
        predict: Predict,
        policy: BatchPolicy,
        *,
        release: str = "model",
        max_queue_rows: int = 4096,
        clock: Callable[[], float] = time.perf_counter,
        observe: Callable[[Execution], None] = lambda execution: None,
    ) -> None:
        self._predict, self._policy, self._release = predict, policy, release
        self._max_queue_rows, self._clock, self._observe = max_queue_rows, clock, observe
        self._queues: dict[Shapes, deque[Piece]] = {}
        self._queued_rows = 0
        self._batch_s = 0.0
        self._draining: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"batch-{release}")

    @property
    def queued_rows(self) -> int:
        """Rows that wait for a batch, without those being executed."""
        return self._queued_rows

    async def submit(self, block: Block) -> BlockReply:
        """Execute the block's rows, together with others' where they meet; never raises for a single entry.

        Returns:
            A result for every entry: `Overloaded`, `DeadlineExceeded`, the model's error, or its own rows.
        """
        job = Job(block, self._clock(), self._release)
        pieces = job.pieces(self._policy.max_rows)
        if not pieces:
            return BlockReply({}, tuple(EntryResult() for _ in block.entries))
        job.pending = len(pieces)
        for piece in self._admitted(job, pieces):
            self._queues.setdefault(job.shapes, deque()).append(piece)
            self._queued_rows += piece.rows
        if self._queues and self._draining is None:
            self._draining = asyncio.get_running_loop().create_task(self._drain())
        try:
            return await job.reply
        except asyncio.CancelledError:
            self._remove(job)
            raise

    def close(self) -> None:
        """End the worker thread once the running batch is done."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _admitted(self, job: Job, pieces: list[Piece]) -> list[Piece]:
        """The pieces of entries that fit the queue as a whole; the others are failed."""
        room = self._max_queue_rows - self._queued_rows
        refused: set[int] = set()
        for index, entry in enumerate(job.block.entries):
            if entry.rows <= room:
                room -= entry.rows
            else:
                refused.add(index)
        for piece in pieces:
            if piece.entry in refused:
                job.fail(piece, Overloaded(self._release, self._max_queue_rows, self._retry_after_s()))
        return [piece for piece in pieces if piece.entry not in refused]

    def _retry_after_s(self) -> float:
        batches = self._queued_rows / self._policy.max_rows + 1
        return round(max(0.1, batches * self._batch_s), 1)

    def _remove(self, job: Job) -> None:
        """Forget a cancelled job's rows that still wait."""
        queue = self._queues.pop(job.shapes, None)
        if queue is None:
            return
        kept = deque(piece for piece in queue if piece.job is not job)
        self._queued_rows -= sum(piece.rows for piece in queue) - sum(piece.rows for piece in kept)
        if kept:
            self._queues[job.shapes] = kept

    async def _drain(self) -> None:
        """Execute batches until nothing waits."""
        try:
            while self._queues:
                pieces = self._take()
                if pieces:
                    await self._execute(pieces)
        finally:
            self._draining = None

    def _take(self) -> list[Piece]:
        """Remove the next batch's pieces from the queue whose head waits longest; expired ones are failed."""
        now, room = self._clock(), self._policy.next_rows()
        shapes = min(self._queues, key=lambda key: self._queues[key][0].job.submitted)
        queue, taken = self._queues[shapes], list[Piece]()
        while queue and (queue[0].rows <= room or not taken):
            piece = queue.popleft()
            self._queued_rows -= piece.rows
            if error := self._in_vain(piece, now):
                piece.job.fail(piece, error)
                continue
            taken.append(piece)
            room -= piece.rows
        if not queue:
            del self._queues[shapes]
        return taken

    def _in_vain(self, piece: Piece, now: float) -> ServeAppError | None:
        """Why executing the piece would help nobody; None if it would."""
        deadline = piece.job.deadlines[piece.entry]
        if deadline is not None and deadline <= now:
            allowed = piece.job.block.entries[piece.entry].timeout_s or 0.0
            return DeadlineExceeded(self._release, round(allowed, 3))
        if piece.job.has_failed(piece.entry):
            return ModelRaised(self._release, "on another part of the request")
        return None

    async def _execute(self, pieces: list[Piece]) -> None:
        """Execute a batch; one that raises is halved until those that cause it stand alone, within a budget."""
        budget = 4 * len(pieces).bit_length()
        batches = [pieces]
        while batches:
            batch = batches.pop()
            budget -= 1
            error = await self._try(batch)
            if error is None:
                continue
            if len(batch) > 1 and budget > 0 and not isinstance(error, WrongAnswer):
                middle = len(batch) // 2
                batches += [batch[middle:], batch[:middle]]
            else:
                for piece in batch:
                    piece.job.fail(piece, error)

    async def _try(self, pieces: list[Piece]) -> ServeAppError | None:
        """Execute pieces together and give them their rows, or give back why that failed."""
        started, runs = self._clock(), runs_of(pieces)
        rows = sum(run.stop - run.start for run in runs)
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._thread, self._run, runs, rows)
        except ServeAppError as error:
            return error
        except Exception as error:  # whatever a model raises is that batch's error, and the queue goes on
            ids = ", ".join(piece.job.block.entries[piece.entry].request_id for piece in pieces)
            logger.exception("%s raised on requests %s", self._release, ids)
            return ModelRaised(self._release, f"it raised {type(error).__name__}")
        self._scatter(pieces, runs, answer, started)
        self._batch_s = answer.compute_s + answer.batch_s
        self._policy.observe(rows, answer.compute_s)
        try:
            self._observe(Execution(rows, answer.compute_s))
        except Exception:  # a metric that cannot be written must not stop the queue
            logger.exception("%s: a batch was executed but not accounted for", self._release)
        return None

    def _run(self, runs: list[Run], rows: int) -> _Answer:
        """Merge, predict and check; runs in the worker thread."""
        begin = self._clock()
        inputs = join([run.inputs() for run in runs])
        merged = self._clock()
        outputs = self._predict(inputs)
        done = self._clock()
        for name, array in outputs.items():
            if len(array) != rows:
                raise WrongAnswer(self._release, f"output {name!r} has {len(array)} rows for {rows} rows of input")
        if rows_of(outputs) != rows:
            raise WrongAnswer(self._release, f"it gave no output for {rows} rows of input")
        return _Answer(outputs, merged - begin, done - merged)

    def _scatter(self, pieces: list[Piece], runs: list[Run], answer: _Answer, started: float) -> None:
        at = 0
        for run in runs:
            stop = at + run.stop - run.start
            run.job.add_part(run.start, {name: array[at:stop] for name, array in answer.outputs.items()})
            at = stop
        for piece in pieces:
            queue_s = started - piece.job.submitted
            piece.job.executed(piece, Timings(queue_s, answer.batch_s, answer.compute_s, at))
