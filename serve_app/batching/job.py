"""A block on its way through the batcher: what of it still has to run, and what came back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from serve_app.errors import ServeAppError, WrongAnswer
from serve_app.types import Array, Block, BlockReply, EntryResult, Tensors, Timings

Shapes = tuple[tuple[str, str, tuple[int, ...]], ...]
"""What two blocks must agree on to be executed together: name, dtype and axes beyond 0 of every input."""

Empty = Callable[[tuple[int, ...], np.dtype[np.generic]], Array]
"""Gives an uninitialised array, as `numpy.empty` does."""

NEVER = float("inf")


def shapes_of(tensors: Tensors) -> Shapes:
    """The part of the tensors' shapes that rows of one batch share."""
    return tuple(sorted((name, array.dtype.str, array.shape[1:]) for name, array in tensors.items()))


@dataclass(slots=True, eq=False)
class Piece:
    """Rows `start` to `stop` of a job's block, all of one entry, to be executed in one batch.

    Attributes:
        priority: Level; the lowest goes first.
        deadline: Clock reading at which the answer is of no more use; infinite for never.
        nbytes: Of the rows' inputs and outputs.
        waits: Whether it is in a queue.
    """

    job: Job
    entry: int
    start: int
    stop: int
    priority: int
    deadline: float
    nbytes: int
    waits: bool = True

    @property
    def rows(self) -> int:
        """Rows of the piece."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring rows of one job within a batch: a slice of its block, so that no row is copied one by one."""

    job: Job
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """Rows of the run."""
        return self.stop - self.start

    def inputs(self) -> Tensors:
        """The run's rows, as views of the block's tensors."""
        return {name: array[self.start : self.stop] for name, array in self.job.block.inputs.items()}


class Job:
    """One submitted block and the future that its reply resolves.

    Attributes:
        pieces: What is to be executed, every entry's rows cut to pieces of at most the given rows.
    """

    def __init__(self, block: Block, now: float, release: str = "model", *, max_rows: int, row_bytes: int = 0) -> None:
        """Cut a block into pieces.

        Args:
            block: What was submitted.
            now: The clock's reading, in seconds.
            release: Name for errors.
            max_rows: Most rows of a piece.
            row_bytes: Bytes of one row's inputs and outputs.
        """
        self.block, self._release = block, release
        self.submitted = now
        self.reply: asyncio.Future[BlockReply] = asyncio.get_running_loop().create_future()
        self._errors: dict[int, ServeAppError] = {}
        self._results: dict[int, EntryResult] = {}
        self._parts: list[tuple[int, Tensors]] = []
        self.pieces: list[Piece] = []
        start = 0
        for index, entry in enumerate(block.entries):
            end = start + entry.rows
            deadline = NEVER if entry.timeout_s is None else now + entry.timeout_s
            for at in range(start, end, max_rows):
                stop = min(at + max_rows, end)
                piece = Piece(self, index, at, stop, entry.priority, deadline, (stop - at) * row_bytes)
                self.pieces.append(piece)
            start = end
        self._pending = len(self.pieces)

    def cut(self, piece: Piece, max_rows: int) -> list[Piece]:
        """The piece's rows in pieces of at most `max_rows`, which take its place."""
        row_bytes = piece.nbytes // piece.rows
        parts = [
            replace(piece, start=at, stop=stop, nbytes=(stop - at) * row_bytes, waits=True)
            for at in range(piece.start, piece.stop, max_rows)
            for stop in (min(at + max_rows, piece.stop),)
        ]
        self.pieces += parts
        self._pending += len(parts) - 1
        return parts

    def has_failed(self, entry: int) -> bool:
        """Whether a piece of the entry has ended with an error, so that the others are executed in vain."""
        return entry in self._errors

    def fail(self, piece: Piece, error: ServeAppError) -> None:
        """End a piece with an error, which is then its whole entry's; the first one counts."""
        self._errors.setdefault(piece.entry, error)
        self._finish_piece()

    def executed(self, piece: Piece, result: EntryResult) -> None:
        """End a piece whose rows a part brings; an entry in several batches reports the sum of their times."""
        before = self._results.get(piece.entry)
        if before is not None:
            then, now = before.timings, result.timings
            timings = Timings(
                then.queue_s,
                then.batch_s + now.batch_s,
                then.compute_s + now.compute_s,
                max(then.batch_rows, now.batch_rows),
            )
            later = tuple(replace(visit, begin_ms=visit.begin_ms + 1000 * then.compute_s) for visit in result.visits)
            result = EntryResult(None, timings, {**before.left_out, **result.left_out}, before.visits + later)
        self._results[piece.entry] = result
        self._finish_piece()

    def add_part(self, start: int, outputs: Tensors) -> None:
        """Keep the outputs of the block's rows from `start` on."""
        self._parts.append((start, outputs))

    def leave(self) -> Iterator[Piece]:
        """Give up the pieces, one by one: as they know their job, it would keep its tensors until it is collected."""
        while self.pieces:
            yield self.pieces.pop()

    def _finish_piece(self) -> None:
        self._pending -= 1
        if self._pending:
            return
        self.pieces = []  # as `leave` says; whoever goes through them still has the list
        if not self.reply.done():
            try:
                self.reply.set_result(self._reply())
            except ValueError:  # NumPy cannot join them: the model's outputs differ beyond axis 0 from batch to batch
                error = WrongAnswer(self._release, "its outputs have other shapes from batch to batch")
                self.reply.set_result(BlockReply({}, tuple(EntryResult(error) for _ in self.block.entries)))

    def _reply(self) -> BlockReply:
        count = len(self.block.entries)
        results = tuple(
            EntryResult(self._errors[i]) if i in self._errors else self._results.get(i, NO_RESULT) for i in range(count)
        )
        parts = [self._kept(start, outputs) for start, outputs in sorted(self._parts, key=lambda part: part[0])]
        return BlockReply(join(parts), results)

    def _kept(self, start: int, outputs: Tensors) -> Tensors:
        """Drop rows of entries that failed: an entry over max_rows may have succeeded in part."""
        if not self._errors:
            return outputs
        owner = np.repeat(np.arange(len(self.block.entries)), [entry.rows for entry in self.block.entries])
        failed = np.isin(owner, list(self._errors))
        return {name: array[~failed[start : start + len(array)]] for name, array in outputs.items()}


NO_RESULT = EntryResult()


def runs_of(pieces: list[Piece]) -> list[Run]:
    """Join neighbouring pieces of the same job."""
    runs: list[Run] = []
    for piece in pieces:
        last = runs[-1] if runs else None
        if last is not None and last.job is piece.job and last.stop == piece.start:
            runs[-1] = Run(last.job, last.start, piece.stop)
        else:
            runs.append(Run(piece.job, piece.start, piece.stop))
    return runs


def join(parts: Sequence[Tensors], empty: Empty | None = None) -> Tensors:
    """Rows of `parts` one behind the other, in arrays of `empty`; a single part is given back as it is, not copied."""
    if not parts:
        return {}
    if len(parts) == 1:
        return parts[0]
    return {name: _concatenated([part[name] for part in parts], empty) for name in parts[0]}


def _concatenated(arrays: Sequence[Array], empty: Empty | None) -> Array:
    if empty is None:
        return np.concatenate(arrays)
    first = arrays[0]
    return np.concatenate(arrays, out=empty((sum(map(len, arrays)), *first.shape[1:]), first.dtype))
