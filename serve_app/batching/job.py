"""A block on its way through the batcher: what of it still has to run, and what came back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import numpy as np

from serve_app.errors import ServeAppError, WrongAnswer
from serve_app.types import Array, Block, BlockReply, EntryResult, Tensors, Timings

Shapes = tuple[tuple[str, str, tuple[int, ...]], ...]
"""What two blocks must agree on to be executed together: name, dtype and axes beyond 0 of every input."""


def shapes_of(tensors: Tensors) -> Shapes:
    """The part of the tensors' shapes that rows of one batch share."""
    return tuple(sorted((name, array.dtype.str, array.shape[1:]) for name, array in tensors.items()))


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows `start` to `stop` of a job's block, all of one entry, to be executed in one batch."""

    job: Job
    entry: int
    start: int
    stop: int

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

    def inputs(self) -> Tensors:
        """The run's rows, as views of the block's tensors."""
        return {name: array[self.start : self.stop] for name, array in self.job.block.inputs.items()}


class Job:
    """One submitted block and the future that its reply resolves.

    Attributes:
        pending: Pieces that are neither executed nor given up.
        deadlines: Clock reading at which each entry's answer is of no more use; None for never.
    """

    def __init__(self, block: Block, now: float, release: str = "model") -> None:
        self.block, self._release = block, release
        self.shapes = shapes_of(block.inputs)
        self.submitted = now
        self.pending = 0
        self.deadlines = [None if entry.timeout_s is None else now + entry.timeout_s for entry in block.entries]
        self.reply: asyncio.Future[BlockReply] = asyncio.get_running_loop().create_future()
        self._errors: dict[int, ServeAppError] = {}
        self._timings: dict[int, Timings] = {}
        self._parts: list[tuple[int, Tensors]] = []

    def pieces(self, max_rows: int) -> list[Piece]:
        """Every entry's rows, those of entries over `max_rows` cut into several pieces."""
        pieces, start = [], 0
        for index, entry in enumerate(self.block.entries):
            end = start + entry.rows
            pieces += [Piece(self, index, at, min(at + max_rows, end)) for at in range(start, end, max_rows)]
            start = end
        return pieces

    def has_failed(self, entry: int) -> bool:
        """Whether a piece of the entry has ended with an error, so that the others are executed in vain."""
        return entry in self._errors

    def fail(self, piece: Piece, error: ServeAppError) -> None:
        """End a piece with an error, which is then its whole entry's; the first one counts."""
        self._errors.setdefault(piece.entry, error)
        self._finish_piece()

    def executed(self, piece: Piece, timings: Timings) -> None:
        """End a piece whose rows a part brings; an entry in several batches reports the sum of their times."""
        before = self._timings.get(piece.entry)
        if before is not None:
            timings = Timings(
                before.queue_s,
                before.batch_s + timings.batch_s,
                before.compute_s + timings.compute_s,
                max(before.batch_rows, timings.batch_rows),
            )
        self._timings[piece.entry] = timings
        self._finish_piece()

    def add_part(self, start: int, outputs: Tensors) -> None:
        """Keep the outputs of the block's rows from `start` on."""
        self._parts.append((start, outputs))

    def _finish_piece(self) -> None:
        self.pending -= 1
        if self.pending == 0 and not self.reply.done():
            try:
                self.reply.set_result(self._reply())
            except ValueError:  # NumPy cannot join them: the model's outputs differ beyond axis 0 from batch to batch
                error = WrongAnswer(self._release, "its outputs have other shapes from batch to batch")
                self.reply.set_result(BlockReply({}, tuple(EntryResult(error) for _ in self.block.entries)))

    def _reply(self) -> BlockReply:
        count = len(self.block.entries)
        results = tuple(EntryResult(self._errors.get(i), self._timings.get(i, Timings())) for i in range(count))
        parts = [self._kept(start, outputs) for start, outputs in sorted(self._parts, key=lambda part: part[0])]
        return BlockReply(join(parts), results)

    def _kept(self, start: int, outputs: Tensors) -> Tensors:
        """Drop rows of entries that failed: an entry over max_rows may have succeeded in part."""
        if not self._errors:
            return outputs
        owner = np.repeat(np.arange(len(self.block.entries)), [entry.rows for entry in self.block.entries])
        failed = np.isin(owner, list(self._errors))
        return {name: array[~failed[start : start + len(array)]] for name, array in outputs.items()}


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


def join(parts: list[Tensors]) -> Tensors:
    """Rows of `parts` one behind the other; a single part is given back as it is, without a copy."""
    if not parts:
        return {}
    if len(parts) == 1:
        return parts[0]
    joined: dict[str, Array] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return joined
