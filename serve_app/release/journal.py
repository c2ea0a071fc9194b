"""What the controller has changed and not yet kept: written in one transaction, held while the database is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from serve_app.errors import ControllerAway
from serve_app.release.records import (
    CountsRecord,
    Event,
    Forgotten,
    LockRecord,
    Record,
    Retirement,
    RolloutRecord,
    Saved,
    UnloadedApplication,
)

logger = logging.getLogger("serve_app.releases")

MAX_HELD_EVENTS = 10_000
_T = TypeVar("_T")


class Store(Protocol):
    """A database, as `store.Store` is one; every method blocks and may raise `ControllerAway`."""

    def load(self) -> Saved:
        """All that was kept."""

    def save(self, changes: Sequence[Record | Forgotten], revision: int | None = None) -> None:
        """Keep changes, all or none."""

    def events(self, limit: int, model: str = "") -> list[Event]:
        """The last events, the newest first."""

    def acquire_lock(self, name: str, owner: str, now_s: float, for_s: float) -> LockRecord:
        """Get a lock unless somebody else has it; gives who has it now."""

    def release_lock(self, name: str, owner: str) -> None:
        """Give a lock back, if it is the owner's."""

    def prune(self, before_s: float) -> None:
        """Forget events, and counters of rollouts that are over, from before that time."""

    def close(self) -> None:
        """Close its connections."""


class Journal:
    """Changes on their way to the store.

    Attributes:
        fault: Why the store cannot be written; empty while it can.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: dict[tuple[str, ...], Record | Forgotten] = {}
        self._turn = asyncio.Lock()
        self.fault = ""

    def add(self, *changes: Record | Forgotten) -> None:
        """Have changes kept with the next `write`; of several of the same thing the last one counts."""
        for change in changes:
            key = _key(change)
            self._held.pop(key, None)
            self._held[key] = change
        events = [key for key in self._held if key[0] == "Event"]
        for key in events[:-MAX_HELD_EVENTS]:
            del self._held[key]

    @property
    def is_busy(self) -> bool:
        """Whether the store is being asked; it may take long to answer."""
        return self._turn.locked()

    async def write(self, revision: int | None) -> bool:
        """Write what is held; whether all of it is kept now."""
        return await self.keep(revision)

    async def keep(self, revision: int | None, *changes: Record | Forgotten) -> bool:
        """Write what is held and some changes more, which are not held where that fails; whether they are kept."""
        async with self._turn:
            held = dict(self._held)
            if not (held or changes):
                return True
            try:
                await asyncio.to_thread(self._store.save, [*held.values(), *changes], revision)
            except ControllerAway as error:
                if not self.fault:
                    logger.error("changes wait until they can be kept: %s", error.reason)
                self.fault = error.reason
                return False
            self._held = {key: change for key, change in self._held.items() if held.get(key) is not change}
            if self.fault:
                logger.info("the database is back; %d changes are kept", len(held) + len(changes))
            self.fault = ""
            return True

    async def ask(self, question: Callable[..., _T], *arguments: object) -> _T:
        """What a method of the store answers, called in a thread.

        Raises:
            ControllerAway: The database is.
        """
        async with self._turn:
            return await asyncio.to_thread(question, *arguments)


def _key(change: Record | Forgotten) -> tuple[str, ...]:
    """The same for what replaces each other."""
    match change:
        case RolloutRecord(id=key) | Event(id=key):
            return (type(change).__name__, key)
        case CountsRecord(window=window, version=version, gateway=gateway):
            return ("counts", window, version, gateway)
        case Retirement(release=key):
            return ("retirement", key)
        case UnloadedApplication(name=key):
            return ("unloaded", key)
        case Forgotten(kind=kind, key=key):
            return (kind, key)
