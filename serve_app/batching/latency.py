"""How long a batch of so many rows takes: learned online, seeded by the warm-up sweep."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Mapping

WINDOW = 64  # executions that say how fast the model is now
QUANTILE = 0.95
LEARNING_RATE = 0.1  # of one anchor of the curve, in favour of one execution
OUTLIER = 4.0  # times the usual: counts for the quantile, but does not bend the curve


class LatencyModel:
    """Seconds that executing a batch takes, by its rows.

    A curve over batch sizes gives the usual time; the ratios of the last executions to it give the spread and follow
    drift at all sizes at once, whichever was executed. So a clock that drops, or a neighbour that takes half of the
    machine, is known after a few batches, while a single slow one among 64 changes nothing. Predicting by a high
    quantile of a rolling window is Clockwork's way (Gujarati et al., OSDI 2020, section 5.2).

    Args:
        seed: Seconds by rows, from the warm-up sweep or the manifest's profile; more sizes make a better curve.
    """

    def __init__(self, seed: Mapping[int, float] | None = None) -> None:
        known = {rows: seconds for rows, seconds in (seed or {}).items() if seconds > 0}
        self._rows = sorted(known)
        self._seconds = [known[rows] for rows in self._rows]
        self._recent: deque[float] = deque(maxlen=WINDOW)
        self._ratios: list[float] = []

    @property
    def is_known(self) -> bool:
        """Whether anything was seeded or observed."""
        return bool(self._rows)

    def observe(self, rows: int, seconds: float) -> None:
        """Take one execution of `rows` (>= 1) into account."""
        if seconds <= 0:
            return
        if not self._rows:
            self._rows, self._seconds = [rows], [seconds]
        ratio = seconds / self._curve(rows)
        if len(self._recent) == WINDOW:
            del self._ratios[bisect_left(self._ratios, self._recent[0])]
        self._recent.append(ratio)
        insort(self._ratios, ratio)
        usual = self._ratio(0.5)
        if 1 / OUTLIER < ratio / usual < OUTLIER:
            self._bend(rows, seconds / usual)

    def usual_s(self, rows: int) -> float:
        """Median of what a batch of `rows` takes; 0 if nothing is known."""
        return self._curve(rows) * self._ratio(0.5) if self._rows else 0.0

    def most_s(self, rows: int) -> float:
        """What 95% of the batches of `rows` take at most; 0 if nothing is known."""
        return self._curve(rows) * self._ratio(QUANTILE) if self._rows else 0.0

    def usual_by_rows(self) -> Mapping[int, float]:
        """`usual_s` at every size that the curve has an anchor for."""
        return {rows: self.usual_s(rows) for rows in self._rows}

    def _ratio(self, quantile: float) -> float:
        return self._ratios[int(quantile * (len(self._ratios) - 1))] if self._ratios else 1.0

    def _curve(self, rows: int) -> float:
        """Between two anchors a straight line; outside them the outermost line, never shrinking with rows."""
        anchors, seconds = self._rows, self._seconds
        if len(anchors) == 1:
            return seconds[0]
        high = min(max(bisect_left(anchors, rows), 1), len(anchors) - 1)
        low = high - 1
        slope = max(0.0, (seconds[high] - seconds[low]) / (anchors[high] - anchors[low]))
        if rows >= anchors[low]:
            return seconds[low] + slope * (rows - anchors[low])
        return max(seconds[low] + slope * (rows - anchors[low]), seconds[low] * rows / anchors[low])

    def _bend(self, rows: int, seconds: float) -> None:
        """Move the nearest anchor towards an execution, or set a new one halfway between two that are far apart."""
        at = bisect_right(self._rows, rows)
        low = self._rows[at - 1] if at else 0
        high = self._rows[at] if at < len(self._rows) else 0
        if (low and rows < 1.5 * low) or (high and rows * 1.5 > high):
            near = at - 1 if low and (not high or rows - low <= high - rows) else at
            expected = self._curve(rows)
            self._seconds[near] += LEARNING_RATE * (seconds - expected) * self._seconds[near] / expected
        else:
            self._rows.insert(at, rows)
            self._seconds.insert(at, seconds)
