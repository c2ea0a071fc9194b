"""Answers that a node remembers, row by row."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from serve_app.batching.executing import Visit
from serve_app.graph.steps import Execute, Run, Values
from serve_app.types import Array, Tensors

Row = tuple[Array, ...]
"""A row of each output, in their order: arrays of length 1."""

CACHE = "cache"  # what a router chose for a row that it remembered
ENTRY_BYTES = 400  # of the dictionary, the key and the arrays' heads, beside the numbers themselves


class RowCache:
    """Rows by the hash of what they were made from, within a number of bytes; the least recently used go first.

    Args:
        max_bytes: Of all rows, with what Python needs for them.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self.nbytes = max_bytes, 0
        self._rows: OrderedDict[bytes, Row] = OrderedDict()

    def get(self, key: bytes) -> Row | None:
        """The row of a key, which then is the most recently used."""
        row = self._rows.get(key)
        if row is not None:
            self._rows.move_to_end(key)
        return row

    def put(self, key: bytes, row: Row) -> None:
        """Remember a row; one that is larger than everything may be is not."""
        size = _size(row)
        if key in self._rows or size > self._max_bytes:
            return
        self._rows[key] = row
        self.nbytes += size
        while self.nbytes > self._max_bytes:
            _, oldest = self._rows.popitem(last=False)
            self.nbytes -= _size(oldest)


class CachedNode:
    """A node's work, done only for rows that are not remembered.

    What was made without a part of the graph that failed is not remembered.

    Args:
        execute: The work; each row of what it gives depends on the same row of what it takes, and on nothing else.
        needs: What it takes, by reference.
        outputs: Names of what it gives; each has rows of one shape.
        max_bytes: Of what is remembered.
    """

    def __init__(self, execute: Execute, needs: Sequence[str], outputs: Sequence[str], max_bytes: int) -> None:
        self._execute, self._needs, self._outputs = execute, needs, outputs
        self._cache = RowCache(max_bytes)

    async def __call__(self, values: Values, run: Run, visit: Visit) -> Tensors:
        """As `Execute`."""
        keys = row_keys([values[need] for need in self._needs])
        rows = [self._cache.get(key) for key in keys]
        missing = np.array([index for index, row in enumerate(rows) if row is None], np.intp)
        if len(missing) == len(keys):
            return await self._remembered(keys, values, run, visit)
        visit.cached = np.ones(len(keys), bool)
        visit.cached[missing] = False
        if len(missing):
            inner, some = {need: values[need][missing] for need in self._needs}, run.of(missing)
            work = Visit(visit.node, len(missing), some.rows, visit.begin_s)
            answer = await self._remembered([keys[index] for index in missing.tolist()], inner, some, work)
            visit.timings = work.timings
            if work.chosen is not None:
                visit.chosen = np.full(visit.rows, CACHE, object)
                visit.chosen[missing] = work.chosen
            for place, index in enumerate(missing.tolist()):
                rows[index] = self._row(answer, place)
        whole = zip(*(row for row in rows if row is not None), strict=True)
        return {name: np.concatenate(parts) for name, parts in zip(self._outputs, whole, strict=True)}

    async def _remembered(self, keys: Sequence[bytes], values: Values, run: Run, visit: Visit) -> Tensors:
        """The work, remembered if it is whole."""
        before = len(run.executing.left_out)
        answer = await self._execute(values, run, visit)
        if len(run.executing.left_out) == before:
            for index, key in enumerate(keys):
                self._cache.put(key, self._row(answer, index))
        return answer

    def _row(self, answer: Tensors, index: int) -> Row:
        return tuple(answer[name][index : index + 1].copy() for name in self._outputs)


def row_keys(arrays: Sequence[Array]) -> list[bytes]:
    """A hash of each row of the arrays together, 16 bytes of BLAKE2b."""
    return [blake2b(b"".join(map(_bytes, rows)), digest_size=16).digest() for rows in zip(*arrays, strict=True)]


def _bytes(row: Array | bytes) -> bytes:
    """What a row is, so that no two different ones of a signature are alike: with its shape, and BYTES' lengths."""
    if isinstance(row, bytes):
        return len(row).to_bytes(4, "little") + row
    array = np.asarray(row)
    shape = repr(array.shape).encode()
    return shape + (array.tobytes() if array.dtype != object else b"".join(map(_bytes, array.ravel().tolist())))


def _size(row: Row) -> int:
    return ENTRY_BYTES + sum(
        array.nbytes if array.dtype != object else sum(map(len, array.ravel().tolist())) for array in row
    )
