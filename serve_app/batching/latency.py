"""How long a batch of so many rows takes: learned online, seeded by the warm-up sweep."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Mapping, Sequence

WINDOW = 32  # executions of about one size that say how fast it is now
QUANTILE = 0.95
FRESH = 256  # executions of any size after which a size that was not among them is judged by its neighbours


class LatencyModel:
    """Seconds that executing a batch takes, by its rows.

    A curve over batch sizes, fixed from the start, gives the shape. The last executions of about each size (within a
    power of two) give the factor by which that size is slower now; sizes not executed lately take the factor of their
    neighbours, so a clock that drops, or a neighbour that takes half of the machine, is known at all sizes after a few
    batches. Medians and a high quantile of rolling windows: a single slow execution changes nothing. Predicting by a
    quantile of a rolling window is Clockwork's way (Gujarati et al., OSDI 2020, section 5.2).

    Args:
        seed: Seconds by rows, from the warm-up sweep or the manifest's profile; more sizes make a better curve.
    """

    def __init__(self, seed: Mapping[int, float] | None = None) -> None:
        known = {rows: seconds for rows, seconds in (seed or {}).items() if seconds > 0}
        self._rows = sorted(known)
        self._seconds = [known[rows] for rows in self._rows]
        self._windows: dict[int, Window] = {}
        self._curves: dict[int, float] = {}  # what `_curve` has said before: the sizes of batches are few
        self._count = self._same_until = 0
        self._sizes: list[int] = []
        self._usual: list[float] = []
        self._most: list[float] = []

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
        self._count += 1
        size = 1 << (rows - 1).bit_length()
        window = self._windows.get(size)
        if window is None:
            window = self._windows[size] = Window()
        window.add(seconds / self._curve(rows), self._count)
        if self._count >= self._same_until or size not in self._sizes:
            self._look_anew()
        at = self._sizes.index(size)
        self._usual[at], self._most[at] = window.quantile(0.5), window.quantile(QUANTILE)

    def _look_anew(self) -> None:
        """Which sizes were executed lately; they stay the same until one of them might be so no more."""
        lasts = {size: one.last for size, one in self._windows.items() if self._count - one.last < FRESH}
        self._sizes = sorted(lasts)
        self._same_until = min(lasts.values()) + FRESH
        self._usual = [self._windows[size].quantile(0.5) for size in self._sizes]
        self._most = [self._windows[size].quantile(QUANTILE) for size in self._sizes]

    def usual_s(self, rows: int) -> float:
        """Median of what a batch of `rows` takes; 0 if nothing is known."""
        return self._curve(rows) * self._factor(self._usual, rows) if self._rows else 0.0

    def most_s(self, rows: int) -> float:
        """What 95% of the batches of `rows` take at most; 0 if nothing is known."""
        return self._curve(rows) * self._factor(self._most, rows) if self._rows else 0.0

    def usual_by_rows(self) -> Mapping[int, float]:
        """`usual_s` at every size that was seeded or executed lately."""
        return {rows: self.usual_s(rows) for rows in sorted({*self._rows, *self._sizes})}

    def _factor(self, factors: Sequence[float], rows: int) -> float:
        """How much slower than the curve a size is: between two sizes on a straight line, outside as the nearest."""
        if not factors:
            return 1.0
        sizes = self._sizes
        high = bisect_left(sizes, rows)
        if high == 0:
            return factors[0]
        if high == len(sizes):
            return factors[-1]
        share = (rows - sizes[high - 1]) / (sizes[high] - sizes[high - 1])
        return factors[high - 1] + share * (factors[high] - factors[high - 1])

    def _curve(self, rows: int) -> float:
        """Between two seeds a straight line; outside them the outermost line, never shrinking with rows."""
        if len(self._rows) == 1:
            return self._seconds[0]
        known = self._curves.get(rows)
        if known is None:
            known = self._curves[rows] = self._on_curve(rows)
        return known

    def _on_curve(self, rows: int) -> float:
        anchors, seconds = self._rows, self._seconds
        high = min(max(bisect_left(anchors, rows), 1), len(anchors) - 1)
        low = high - 1
        slope = max(0.0, (seconds[high] - seconds[low]) / (anchors[high] - anchors[low]))
        return max(seconds[low] + slope * (rows - anchors[low]), seconds[0] * min(1.0, rows / anchors[0]))


class Window:
    """The factors of the last executions of one size, in order of time and of size; `last` is the last one's number."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=WINDOW)
        self._sorted: list[float] = []
        self.last = 0

    def __len__(self) -> int:
        """How many there are."""
        return len(self._sorted)

    def add(self, factor: float, count: int) -> None:
        """Take the execution of that number into account, and forget the oldest."""
        if len(self._recent) == WINDOW:
            del self._sorted[bisect_left(self._sorted, self._recent[0])]
        self._recent.append(factor)
        insort(self._sorted, factor)
        self.last = count

    @property
    def mean(self) -> float:
        """Of all but the largest; of several."""
        return sum(self._sorted[:-1]) / (len(self._sorted) - 1)

    def quantile(self, share: float) -> float:
        """What that share of them do not exceed; there must be one."""
        return self._sorted[int(share * (len(self._sorted) - 1))]
