"""One batch in a worker thread: rows merged and padded, executed, checked, and cut back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import numpy as np

from serve_app.batching.executing import Executing, executing
from serve_app.batching.explaining import explained
from serve_app.batching.job import NEVER, Empty, Piece, Run, join, runs_of
from serve_app.batching.quick import Quickness
from serve_app.batching.ragged import Ragged, cut, length_of
from serve_app.errors import ModelRaised, ServeAppError, WrongAnswer
from serve_app.types import Array, Block, BlockEntry, BlockReply, EntryResult, Tensors, Timings, rows_of
from serve_app.visits import NodeVisit

logger = logging.getLogger("serve_app.batching")

Predict = Callable[[Tensors], Tensors]
"""Executes one batch, blocking; gives back every output with as many rows as it was given."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What one executed batch was: given to the observer, for metrics."""

    rows: int
    compute_s: float
    batch_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Traits:
    """What the batcher must know of its model.

    Attributes:
        release: Name for errors, `{model}-{version}`.
        output_row_bytes: Bytes of one row of all outputs.
        ragged: How inputs of any length are padded; None where they are not.
        ragged_outputs: Outputs whose axis 1 is as long as the inputs'.
        waits: Whether an execution may wait for other processes.
        empty: Makes arrays that the model's device reads soonest; None for any.
    """

    release: str = "model"
    output_row_bytes: int = 0
    ragged: Ragged | None = None
    ragged_outputs: frozenset[str] = frozenset()
    waits: bool = False
    empty: Empty | None = None


NO_TRAITS = Traits()


class Executable(Protocol):
    """Rows to be executed together."""

    @property
    def rows(self) -> int:
        """Rows that somebody wants."""

    @property
    def executed_rows(self) -> int:
        """The same with padding."""

    @property
    def deadline(self) -> float | None:
        """Clock reading from which nobody wants an answer any more; None for never."""

    def merged(self) -> Tensors:
        """The rows one behind the other, with padding."""

    def owners(self) -> tuple[tuple[BlockEntry, int], ...]:
        """The entries, each with how many of the rows are its own."""


@dataclass(slots=True, eq=False)
class Batch:
    """Pieces to be executed together.

    Attributes:
        rows: Of the pieces.
        executed_rows: The same with padding.
        bucket: Length that ragged inputs are padded to; 0 where there are none.
        ragged: How they are padded; None where they are not.
        empty: Makes the arrays of the merged inputs; None for any.
        inputs: The merged inputs, once they have been prepared ahead.
    """

    pieces: list[Piece]
    rows: int
    executed_rows: int
    bucket: int = 0
    ragged: Ragged | None = None
    empty: Empty | None = None
    inputs: asyncio.Future[Tensors] | None = None

    def runs(self) -> list[Run]:
        """Neighbouring pieces of the same block as one."""
        return runs_of(self.pieces)

    def owners(self) -> tuple[tuple[BlockEntry, int], ...]:
        """The entries, each with how many rows of the batch are its own."""
        return tuple((piece.job.block.entries[piece.entry], piece.rows) for piece in self.pieces)

    @property
    def deadline(self) -> float | None:
        """Clock reading from which nobody wants an answer any more; None for never."""
        latest = max(piece.deadline for piece in self.pieces)
        return None if latest == NEVER else latest

    def merged(self) -> Tensors:
        """The rows one behind the other, padded to the bucket and the executed size by repeating the last row."""
        parts = [run.inputs() for run in self.runs()]
        if self.ragged is not None:
            parts = [self.ragged.pad(part, self.bucket) for part in parts]
        missing = self.executed_rows - self.rows
        if missing:
            parts.append({name: _repeated(array[-1:], missing) for name, array in parts[-1].items()})
        return join(parts, self.empty)

    def hand_out(self, answer: Answer, started: float, ragged_outputs: frozenset[str]) -> None:
        """Give the pieces their own rows of an answer to what was started at a clock reading."""
        at = 0
        for run in self.runs():
            part = {name: array[at : at + run.rows] for name, array in answer.outputs.items()}
            if self.ragged is not None:
                length = length_of(self.ragged, run.job.block.inputs)
                part = dict(cut(part, ragged_outputs, length, self.bucket))
            run.job.add_part(run.start, part)
            at += run.rows
        results: dict[int, EntryResult] = {}  # pieces of a block share theirs, which then is pickled once
        for index, piece in enumerate(self.pieces):
            result = results.get(id(piece.job))
            if result is None:
                result = results[id(piece.job)] = answer.result(self.rows, started - piece.job.submitted)
            piece.job.executed(piece, answer.explained(result, index))


@dataclass(frozen=True, slots=True, eq=False)
class WholeBlock:
    """A block that is a batch as it is, whose rows need neither be cut nor copied nor padded.

    Attributes:
        submitted: Clock reading at which it came.
    """

    block: Block
    rows: int
    submitted: float

    @property
    def executed_rows(self) -> int:
        """All of them."""
        return self.rows

    @property
    def deadline(self) -> float | None:
        """Of the entry that has most time."""
        left = [entry.timeout_s for entry in self.block.entries]
        most_s = max((seconds for seconds in left if seconds is not None), default=None)
        return None if most_s is None or None in left else self.submitted + most_s

    def merged(self) -> Tensors:
        """The block's own tensors."""
        return self.block.inputs

    def owners(self) -> tuple[tuple[BlockEntry, int], ...]:
        """The entries with their rows."""
        return tuple((entry, entry.rows) for entry in self.block.entries)

    def reply(self, answer: Answer, started: float) -> BlockReply:
        """An answer to what was started at a clock reading, for all entries."""
        result = answer.result(self.rows, started - self.submitted)
        return BlockReply(
            answer.outputs, tuple(answer.explained(result, index) for index in range(len(self.block.entries)))
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """A batch's outputs, padding removed from axis 0, and the seconds spent around and in the model.

    Attributes:
        left_out: What the outputs were made without, and why.
        visits: What a graph's nodes did for the pieces whose entries want to know, by their index in the batch.
    """

    outputs: Tensors
    batch_s: float
    compute_s: float
    left_out: Mapping[str, str] = field(default_factory=dict)
    visits: Mapping[int, tuple[NodeVisit, ...]] = field(default_factory=dict)

    def result(self, rows: int, queue_s: float) -> EntryResult:
        """What entries that waited for `queue_s` share, of a batch of so many rows."""
        return EntryResult(None, Timings(queue_s, self.batch_s, self.compute_s, rows), self.left_out)

    def explained(self, result: EntryResult, index: int) -> EntryResult:
        """The result with the visits of the batch's entry `index`, if it wants to know them."""
        return replace(result, visits=self.visits[index]) if index in self.visits else result


class Instance:
    """One loaded copy of the model with a thread of its own, which is left out for what takes no time.

    Args:
        predict: Executes a batch.
        release: Name for errors, `{model}-{version}`.
        clock: Seconds from any origin, monotonic.
        waits: Whether it may wait for other processes, so that it must never be executed in the event loop.

    Attributes:
        ends_at: Clock reading at which its running batch is expected to end.
        is_busy: Whether a batch runs.
    """

    def __init__(
        self, predict: Predict, release: str, clock: Callable[[], float] = time.perf_counter, *, waits: bool = False
    ) -> None:
        self._predict, self._release, self._clock, self._waits = predict, release, clock, waits
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"batch-{release}")
        self.is_busy, self.ends_at = False, 0.0
        self._quickness = Quickness()

    async def execute(self, batch: Batch) -> Answer:
        """Execute a batch in the instance's thread, or at once if it is quick.

        Raises:
            WrongAnswer: The model's outputs do not have as many rows as its inputs.
            Exception: Whatever the model raised.
        """
        ready = await batch.inputs if batch.inputs is not None else None
        if self.is_quick(batch.executed_rows):
            return self.run(batch, ready)
        run = partial(self.run, batch, ready, in_loop=False)
        return await asyncio.get_running_loop().run_in_executor(self._thread, run)

    def close(self) -> None:
        """End the thread once the running batch is done."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def is_quick(self, rows: int) -> bool:
        """Whether so many rows take less than waking a thread and being woken by it, as far as is known by now."""
        return not self._waits and self._quickness.says(rows)

    def run(self, batch: Executable, ready: Tensors | None = None, *, in_loop: bool = True) -> Answer:
        """Execute a batch in this very thread.

        Args:
            batch: What to execute.
            ready: Its merged inputs, if they were prepared ahead.
            in_loop: Whether this is the event loop's thread.

        Raises:
            WrongAnswer, Exception: As `execute`.
        """
        begin, began = self._clock(), time.thread_time() if in_loop else None
        inputs = batch.merged() if ready is None else ready
        merged = self._clock()
        try:
            with executing(Executing(batch.owners(), batch.deadline, self._clock)) as under_way:
                outputs = self._predict(inputs)
        finally:  # what raises takes its time as well
            done = self._clock()
            computed_s = None if began is None else time.thread_time() - began
            self._quickness.observe(batch.executed_rows, done - begin, computed_s)
        for name, array in outputs.items():
            if len(array) != batch.executed_rows:
                reason = f"output {name!r} has {len(array)} rows for {batch.executed_rows} rows of input"
                raise WrongAnswer(self._release, reason)
        if rows_of(outputs) != batch.executed_rows:
            raise WrongAnswer(self._release, f"it gave no output for {batch.executed_rows} rows of input")
        if batch.executed_rows != batch.rows:
            outputs = {name: array[: batch.rows] for name, array in outputs.items()}
        return Answer(outputs, merged - begin, done - merged, under_way.left_out, explained(under_way, merged))


def told(error: Exception, batch: Executable, release: str) -> ServeAppError:
    """What the requests of a batch that failed are told; an error that is not ours goes to the log as a whole."""
    if isinstance(error, ServeAppError):
        return error
    ids = ", ".join(entry.request_id for entry, _ in batch.owners())
    logger.error("%s raised on requests %s", release, ids, exc_info=error)
    return ModelRaised(release, f"it raised {type(error).__name__}")


def _repeated(row: Array, count: int) -> Array:
    return np.broadcast_to(row, (count, *row.shape[1:]))
