"""Releases that nobody needs any more are kept warm for a while, for an instant rollback, and then deleted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from serve_app.release.control import Applications
from serve_app.release.events import Events
from serve_app.release.journal import Journal
from serve_app.release.records import Forgotten, Retirement

logger = logging.getLogger("serve_app.releases")

PATIENCE_S = 1.0  # for the cluster; rollouts are looked after meanwhile
DRAIN_S = 5.0  # gateways agree within two seconds; what they sent before that is answered meanwhile
RETRY_S = 10.0


class Wanted(Protocol):
    """Gives the releases that must stay."""

    def __call__(self) -> Collection[str]:
        """Names of applications."""


class Retirements:
    """What is to be deleted, and when.

    Args:
        applications: Those of the cluster.
        journal: Keeps what is due.
        events: Told of each deletion.
        clock: Seconds since 1970.
    """

    def __init__(
        self, applications: Applications, journal: Journal, events: Events, clock: Callable[[], float]
    ) -> None:
        self._applications, self._journal, self._events, self._clock = applications, journal, events, clock
        self.due: dict[str, Retirement] = {}
        self._deleting: asyncio.Task[None] | None = None
        self._settled_at_s: dict[str, float] = {}

    def restore(self, retirements: Iterable[Retirement]) -> None:
        """Go on with what was kept."""
        self.due = {retirement.release: retirement for retirement in retirements}

    def add(self, releases: Iterable[str], after_s: float, actor: str) -> None:
        """Delete releases later, but give what is under way there time to end; one that is due already stays so."""
        for release in releases:
            if release in self.due:
                continue
            retirement = Retirement(release, self._clock() + max(after_s, DRAIN_S), actor)
            self.due[release] = retirement
            self._settled_at_s[release] = self._clock() + DRAIN_S
            self._journal.add(retirement)
            text = f"{release} is kept for {max(after_s, DRAIN_S):g} s and then deleted"
            self._events.happened(self._events.made("retirement", "", actor, text))

    def keep(self, releases: Collection[str], actor: str) -> None:
        """Releases that are used again are not deleted."""
        for release in [release for release in self.due if release in releases]:
            self._forget(release)
            self._events.happened(self._events.made("kept", "", actor, f"{release} is used again and stays"))

    async def look(self, wanted: Collection[str]) -> None:
        """Delete what is due; returns before that is done if the cluster takes long.

        Args:
            wanted: Must stay, unless it was given up just now: gateways may not have the table yet that tells of it.
        """
        now_s = self._clock()
        self.keep([one for one in wanted if now_s >= self._settled_at_s.get(one, 0.0)], "controller")
        if self._deleting is not None and not self._deleting.done():
            return
        due = [release for release, retirement in self.due.items() if retirement.at_s <= now_s]
        if not due:
            return
        self._deleting = asyncio.get_running_loop().create_task(self._delete(due))
        await asyncio.wait([self._deleting], timeout=PATIENCE_S)

    def close(self) -> None:
        """Do not wait for the cluster any more."""
        if self._deleting is not None:
            self._deleting.cancel()

    async def _delete(self, due: Sequence[str]) -> None:
        try:
            await self._applications.delete(due)
        except Exception as error:  # the cluster's errors have no common base; the releases cost memory until then
            logger.warning("%s could not be deleted and will be tried again: %r", ", ".join(due), error)
            for release in self.due.keys() & set(due):
                self.due[release] = Retirement(release, self._clock() + RETRY_S, self.due[release].actor)
            return
        for release in [release for release in due if release in self.due]:
            actor = self.due[release].actor
            self._forget(release)
            self._events.happened(self._events.made("retired", "", actor, f"{release} is deleted"))

    def _forget(self, release: str) -> None:
        del self.due[release]
        self._settled_at_s.pop(release, None)
        self._journal.add(Forgotten("retirement", release))
