"""Pieces that wait for a batch, the most urgent first."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Iterator

from serve_app.batching.job import Piece


class PieceQueue:
    """Pieces whose rows fit together: by priority level, then by deadline (earliest first), then by arrival."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, float, int, Piece]] = []
        self._arrivals = itertools.count()
        self._levels: Counter[int] = Counter()
        self.rows = 0

    def __bool__(self) -> bool:
        """Whether any piece waits."""
        return self.rows > 0

    @property
    def has_one_level(self) -> bool:
        """Whether all pieces have the same priority, so that the head's deadline is the earliest of all."""
        return len(self._levels) <= 1

    def push(self, piece: Piece) -> None:
        """Have a piece wait."""
        heapq.heappush(self._heap, (piece.priority, piece.deadline, next(self._arrivals), piece))
        self._levels[piece.priority] += 1
        self.rows += piece.rows

    def head(self) -> Piece | None:
        """The most urgent piece, left in the queue."""
        while self._heap:
            piece = self._heap[0][3]
            if piece.waits:
                return piece
            heapq.heappop(self._heap)
        return None

    def in_order(self, most_rows: int) -> Iterator[Piece]:
        """The most urgent pieces, left in the queue, until their rows exceed `most_rows`."""
        rows = 0
        for _, _, _, piece in sorted(self._heap):
            if piece.waits:
                yield piece
                rows += piece.rows
                if rows > most_rows:
                    return

    def remove(self, piece: Piece) -> None:
        """Have a piece wait no longer; one that does not is left as it is."""
        if piece.waits:
            piece.waits = False
            self.rows -= piece.rows
            self._levels[piece.priority] -= 1
            if not self._levels[piece.priority]:
                del self._levels[piece.priority]
