"""What happened to traffic and who did it: a log line, a metric, a row in the database, and a webhook for each."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from serve_app.observability.metrics import MetricSink
from serve_app.release.audit import announce
from serve_app.release.journal import Journal
from serve_app.release.records import Event

MAX_SHOWN = 200


class Events:
    """Makes events and tells them to everybody.

    Args:
        journal: Keeps them.
        metrics: Counts them.
        clock: Seconds since 1970.

    Attributes:
        last: The newest ones, the newest first.
    """

    def __init__(self, journal: Journal, metrics: MetricSink, clock: Callable[[], float]) -> None:
        self._journal, self._metrics, self._clock = journal, metrics, clock
        self.last: deque[Event] = deque(maxlen=MAX_SHOWN)

    def restore(self, newest_first: Iterable[Event]) -> None:
        """Show those from before a restart too."""
        self.last.extend(newest_first)

    def made(self, kind: str, model: str, actor: str, text: str, details: Mapping[str, object] | None = None) -> Event:
        """An event that has not happened yet."""
        now_s = self._clock()
        return Event(f"{int(now_s * 1000):013d}-{secrets.token_hex(4)}", now_s, kind, model, actor, text, details or {})

    def happened(self, event: Event, *, is_kept: bool = False) -> None:
        """Tell an event; unless it is kept already, it will be with the journal's next write."""
        if not is_kept:
            self._journal.add(event)
        self.last.appendleft(event)
        announce(event, self._metrics)
