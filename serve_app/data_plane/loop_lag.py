"""How late the event loop is: the part of a request's wait that no queue of ours can show.

When more arrives than one loop can read, requests wait in sockets and in the loop's own list of what is ready, before
any code of ours has seen them. The delay of a timer tells how long that takes.
"""

from __future__ import annotations

import asyncio
from collections import deque

PERIOD_S = 0.01
LASTING = 3  # timers in a row that are late: one alone is a pause, which is over by the time it is known


class LoopLag:
    """Measures the running event loop from `start` to `stop`.

    Attributes:
        lag_s: How late callbacks have been for some timers in a row, at least.
    """

    def __init__(self) -> None:
        self.lag_s = 0.0
        self._last: deque[float] = deque([0.0] * LASTING, LASTING)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to measure; the loop must be running."""
        loop = asyncio.get_running_loop()
        self._arm(loop, loop.time())

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        self._timer = loop.call_at(now + PERIOD_S, self._tick, loop, now + PERIOD_S)

    def _tick(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        self._last.append(now - due)
        self.lag_s = min(self._last)
        self._arm(loop, now)
