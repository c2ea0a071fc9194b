"""Deadlines of many requests at little cost: one timer of the event loop for all that end in the same tick."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)

TICK_S = 0.001  # there is a timer for each tick in which the time of an item may end


class Expiry(Generic[Item]):
    """Calls back for each item when its time is over, at most a tick late; most are taken back before.

    Args:
        expired: Called once for an item whose time is over.
    """

    def __init__(self, expired: Callable[[Item], None]) -> None:
        self._expired = expired
        self._due: dict[int, set[Item]] = {}

    def __len__(self) -> int:
        """Items whose time is running."""
        return sum(map(len, self._due.values()))

    def add(self, item: Item, within_s: float) -> int:
        """Start an item's time.

        Returns:
            What `discard` needs to find it.
        """
        loop = asyncio.get_running_loop()
        tick = math.ceil((loop.time() + within_s) / TICK_S)
        due = self._due.get(tick)
        if due is None:
            due = self._due[tick] = set()
            loop.call_at(tick * TICK_S, self._ring, tick)
        due.add(item)
        return tick

    def discard(self, item: Item, tick: int) -> None:
        """Stop an item's time, if it is still running."""
        due = self._due.get(tick)
        if due is not None:
            due.discard(item)

    def _ring(self, tick: int) -> None:
        for item in self._due.pop(tick):
            self._expired(item)
