"""How many rows the next batch may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class BatchPolicy(Protocol):
    """Decides the size of batches from what it sees of their latencies."""

    @property
    def max_rows(self) -> int:
        """Most rows of any batch; requests with more are executed in pieces."""

    def next_rows(self) -> int:
        """Most rows of the next batch, within [1, max_rows]."""

    def observe(self, rows: int, seconds: float) -> None:
        """Take one executed batch into account."""


@dataclass(frozen=True, slots=True)
class FixedPolicy:
    """The largest batch there is, up to `max_rows` (>= 1)."""

    max_rows: int

    def next_rows(self) -> int:
        """Most rows of the next batch: always `max_rows`."""
        return self.max_rows

    def observe(self, rows: int, seconds: float) -> None:
        """Learn nothing: the size is fixed."""
