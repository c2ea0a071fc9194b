"""How late the event loop is: the part of a request's wait that no queue of ours can show.

When more arrives than one loop can read, requests wait in sockets and in the loop's own list of what is ready, before
any code of ours has seen them. Whatever becomes ready waits for the loop to come round, so what a pass of it takes says
how long.
"""

from __future__ import annotations

import asyncio
import time

PERIOD_S = 0.01  # between looks at a loop that is not behind, while requests come
BEHIND_S = 0.001  # a pass that takes longer delays requests, and the next one is measured as well
PASSES = 3  # times that a decoded request waits for the loop's turn: to leave, to be answered, to be woken
PASSES_IN_ALL = 8  # of a whole request: two until its task runs, two for its body, those three, and one unseen
LET_GO, LET_GO_S = 0.1, 0.001  # of a pass, and at most: the loop stands still so long for other threads
CALM = 0.3  # of the time a request allows: nobody is turned away while the loop takes less


class LoopLag:
    """Measures the running event loop from `start` to `stop`, while requests come.

    Attributes:
        lag_s: What a pass of the loop takes: the shorter one of the last two, since one alone may be a pause.
    """

    def __init__(self) -> None:
        self.lag_s = 0.0
        self._last_s = 0.0
        self._is_refusing = self._has_come = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next: asyncio.Handle | None = None

    @property
    def is_behind(self) -> bool:
        """Whether requests have to wait for the loop."""
        return self.lag_s > BEHIND_S

    @property
    def lost_s(self) -> float:
        """Seconds that a decoded request will wait for the loop."""
        return PASSES * self.lag_s

    @property
    def whole_wait_s(self) -> float:
        """Seconds that a request, which is not decoded yet, will have waited for the loop in the end."""
        return PASSES_IN_ALL * self.lag_s

    def share_to_refuse(self, allowed_s: float) -> float:
        """Of the requests that allow so many seconds, how many to turn away so that the others are in time.

        Once more comes than the loop can do, all of it is late in the end. To refuse costs far less than to answer, so
        the loop keeps up with what is let in, if that shrinks as the waiting grows: in proportion, as the gateways of
        S. Floyd and V. Jacobson, "Random Early Detection Gateways for Congestion Avoidance" (1993) drop packets.

        Args:
            allowed_s: Over 0.

        Returns:
            From 0 to 1. Where it is over 0, the loop lets other threads go first once, at the end of its pass.
        """
        share = min(1.0, max(0.0, (self.whole_wait_s / allowed_s - CALM) / (1 - CALM)))
        self._is_refusing |= share > 0
        return share

    def start(self) -> None:
        """Measure this loop, which must be running, from the next request on."""
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        """Measure no more."""
        self._loop = None
        if self._next is not None:
            self._next.cancel()

    def request_came(self) -> None:
        """Look at the loop for one more period: a hundred looks a second would be most of what an idle gateway does."""
        self._has_come = True
        if self._next is None and self._loop is not None:
            self._rest(self._loop)

    def _rest(self, loop: asyncio.AbstractEventLoop) -> None:
        self._next = loop.call_later(PERIOD_S, self._look, loop) if self._has_come else None
        self._has_come = False

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin at the start of a pass; a timer is called at the end of one."""
        self._next = loop.call_soon(self._measure, loop)

    def _measure(self, loop: asyncio.AbstractEventLoop) -> None:
        self._next = loop.call_soon(self._came_round, loop, loop.time())

    def _came_round(self, loop: asyncio.AbstractEventLoop, before: float) -> None:
        now = loop.time()
        pass_s = now - before
        self.lag_s, self._last_s = min(pass_s, self._last_s), pass_s
        if self._is_refusing:
            self._let_go(pass_s)
        if pass_s > BEHIND_S:
            self._next = loop.call_soon(self._came_round, loop, loop.time())
        else:
            self._rest(loop)

    def _let_go(self, pass_s: float) -> None:
        """Let other threads have the interpreter: a server's own cannot hand over its requests without it.

        They would wait where no pass shows them, while a loop with that much to do hardly ever lets go by itself.
        """
        self._is_refusing = False
        time.sleep(min(LET_GO_S, LET_GO * pass_s))
