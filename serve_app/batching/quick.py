"""Which batches are over so soon that the event loop executes them itself, instead of waking a thread for them.

What a batch takes in a thread says little about that: the thread's cache is cold, and it waits for the processor and
for Python's lock. So what was fast there once is tried in the event loop and judged by what it takes there: by the time
that nearly all compute, because who else has the processor is not its fault, and by the median that passes, because it
might wait for others.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from serve_app.batching.latency import Window

INLINE_S = 0.0003  # what is over sooner is executed in the event loop, which answers health checks too
FIRST_IN_THREAD = 16  # executions before that is decided
NEARLY_ALL = 0.9  # a collection of garbage is nobody's fault either
MOST = 2  # times INLINE_S, of the mean of all but one: a graph may take a slow way now and then
TRIALS = 4  # in the event loop, before it is judged by them: the first one is slower than the rest
TRIED_AGAIN = 64  # executions after which a size that was too slow for the event loop is tried there again


@dataclass(slots=True)
class _Size:
    """Executions of about one size, in seconds: in the event loop, and the shortest anywhere."""

    shortest_s: float = float("inf")
    took: Window = field(default_factory=Window)
    computed: Window = field(default_factory=Window)

    @property
    def is_quick(self) -> bool:
        if len(self.took) < TRIALS:
            return self.shortest_s < INLINE_S
        is_usual = self.computed.quantile(NEARLY_ALL) < INLINE_S and self.took.quantile(0.5) < INLINE_S
        return is_usual and self.computed.mean < MOST * INLINE_S


class Quickness:
    """What executions of an instance have shown, by their rows within a power of two."""

    def __init__(self) -> None:
        self._executed = 0
        self._sizes: dict[int, _Size] = {}

    def observe(self, rows: int, took_s: float, computed_s: float | None = None) -> None:
        """Take an execution into account.

        Args:
            rows: At least 1, padding included.
            took_s: From its start to its end.
            computed_s: The event loop's processor time in it; None if it was in a thread.
        """
        self._executed += 1
        one = self._sizes.setdefault(_size(rows), _Size())
        one.shortest_s = min(one.shortest_s, took_s)
        if computed_s is not None:
            one.took.add(took_s, self._executed)
            one.computed.add(computed_s, self._executed)
        elif self._executed - one.took.last > TRIED_AGAIN:
            one.took, one.computed = Window(), Window()

    def says(self, rows: int) -> bool:
        """Whether so many rows take less than waking a thread and being woken by it, as far as is known by now."""
        one = self._sizes.get(_size(rows))
        return one is not None and self._executed >= FIRST_IN_THREAD and one.is_quick


def _size(rows: int) -> int:
    return 1 << (rows - 1).bit_length()
