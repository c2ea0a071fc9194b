"""How soon more rows may be expected."""

from __future__ import annotations

from dataclasses import dataclass

SMOOTHING = 0.1  # weight of the last gap


@dataclass(slots=True)
class Arrivals:
    """Moving averages of the gap between two arrivals and of their rows.

    Attributes:
        last_s: Clock reading of the last arrival.
        rows: Rows that one brings, on average.
    """

    last_s: float = float("-inf")
    rows: float = 1.0
    _gap_s: float = float("inf")

    def observe(self, rows: int, now: float) -> None:
        """Take an arrival of `rows` (>= 1) into account."""
        gap = now - self.last_s
        self._gap_s = gap if self._gap_s == float("inf") else self._gap_s + SMOOTHING * (gap - self._gap_s)
        self.rows += SMOOTHING * (rows - self.rows)
        self.last_s = now

    def gap_s(self, now: float) -> float:
        """Seconds between arrivals, at least those since the last one; infinite before the second."""
        return max(self._gap_s, now - self.last_s)
