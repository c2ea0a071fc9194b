"""Applications that a call unloaded, kept so that another call can load them again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from serve_app.errors import ControllerAway
from serve_app.release.journal import Journal
from serve_app.release.records import Forgotten, UnloadedApplication


class UnloadedApplications:
    """Remembers them over the controller's death; `verbs.Unloaded`.

    Args:
        journal: Keeps them.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._applications: dict[str, UnloadedApplication] = {}

    def restore(self, applications: Iterable[UnloadedApplication]) -> None:
        """Go on with what was kept."""
        self._applications = {application.name: application for application in applications}

    async def remember(self, applications: Sequence[UnloadedApplication]) -> None:
        """Keep applications.

        Raises:
            ControllerAway: They cannot be kept, so they must not be deleted.
        """
        if not await self._journal.keep(None, *applications):
            raise ControllerAway(self._journal.fault)
        self._applications |= {application.name: application for application in applications}

    async def recall(self) -> Sequence[UnloadedApplication]:
        """All there are."""
        return tuple(self._applications.values())

    async def forget(self, names: Sequence[str]) -> None:
        """They run again; the database hears of it with the journal's next write."""
        for name in names:
            if self._applications.pop(name, None) is not None:
                self._journal.add(Forgotten("unloaded", name))
