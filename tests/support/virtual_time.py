"""An event loop whose clock stands still while anything runs, and jumps to the next timer when nothing does."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

Result = TypeVar("Result")


class _Jumping(selectors.SelectSelector):
    """Does not wait, but says for how long it would have."""

    def __init__(self) -> None:
        super().__init__()
        self.passed: Callable[[float], None] = lambda seconds: None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing is due and nothing runs: whoever waits would wait for ever")
        self.passed(timeout)
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Whoever waits for invented seconds waits no real ones; executors run their work in the loop's own thread.

    Attributes:
        now: The clock's reading, in seconds. What an executor is given moves it on by what that takes; it then is over
            at that time, side by side with whatever else happens until then.
    """

    def __init__(self) -> None:
        selector = _Jumping()
        super().__init__(selector)
        self.now, selector.passed = 0.0, self._pass

    def time(self) -> float:
        return self.now

    def run_in_executor(self, executor: Executor | None, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        began, work = self.now, self.create_future()
        result = func(*args)
        over_at, self.now = self.now, began
        self.call_at(over_at, lambda: work.done() or work.set_result(result))
        return work

    def _pass(self, seconds: float) -> None:
        self.now += seconds


def in_virtual_time(main: Callable[[VirtualTimeLoop], Coroutine[Any, Any, Result]]) -> Result:
    """What a coroutine gives that runs in such a loop."""
    loop = VirtualTimeLoop()
    try:
        return loop.run_until_complete(main(loop))
    finally:
        loop.close()
