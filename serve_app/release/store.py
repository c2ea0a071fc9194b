"""Keeps what the controller remembers, in SQLite or PostgreSQL; every method blocks.

Each may raise `ControllerAway`: the database is down, locked or full. Nothing of a failed call is kept, unless the
answer to its commit was lost, and all calls may be repeated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Select, Table, delete, exists, func, or_, select, update

from serve_app.release.database import Database
from serve_app.release.documents import Kept, document_of, record_of
from serve_app.release.migrating import migrate
from serve_app.release.records import (
    CountsRecord,
    Event,
    Forgotten,
    LockRecord,
    Phase,
    Record,
    Retirement,
    RolloutRecord,
    Saved,
    UnloadedApplication,
)
from serve_app.release.tables import (
    COUNTS,
    DELIVERIES,
    EVENTS,
    LOCKS,
    RETIREMENTS,
    REVISION,
    ROLLOUTS,
    UNLOADED,
)

_UNDER_WAY = tuple(phase.value for phase in Phase if not phase.is_over)
_FORGOTTEN = {
    "counts": COUNTS.c.window,
    "retirement": RETIREMENTS.c.release,
    "unloaded": UNLOADED.c.name,
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that a URL was not told yet.

    Attributes:
        attempts: So far.
    """

    event: Event
    url: str
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of an attempt to deliver: with `next_at_s` another one is due then, without it none ever is."""

    delivery: Delivery
    next_at_s: float | None = None


class Store:
    """The controller's durable state; for any number of threads. Made by `open`.

    Args:
        database: Migrated.
        urls: Which every event that is saved must be told.
        clock: Seconds since 1970.
    """

    def __init__(self, database: Database, urls: Sequence[str], clock: Callable[[], float]) -> None:
        self._database, self._urls, self._clock = database, tuple(dict.fromkeys(urls)), clock

    @classmethod
    def open(
        cls, url: str, password: str = "", urls: Sequence[str] = (), clock: Callable[[], float] = time.time
    ) -> Store:
        """Connect, create what is missing, and bring the schema up to date.

        Args:
            url: SQLAlchemy's; a SQLite file's folder is created.
            password: Of a PostgreSQL server; empty where the URL or the server needs none.
            urls: Which every event that is saved from now on must be told.
            clock: Seconds since 1970.

        Raises:
            ConfigError: The URL cannot be used, or a newer serve-app has changed the database.
            ControllerAway: The database does not answer.
        """
        database = Database(url, password)
        try:
            with database.writing() as connection:
                migrate(connection, database.name)
        except BaseException:
            database.close()
            raise
        return cls(database, urls, clock)

    def close(self) -> None:
        """End the connections."""
        self._database.close()

    def load(self) -> Saved:
        """All that the controller needs to go on."""
        newest_first = (ROLLOUTS.c.started_s.desc(), ROLLOUTS.c.id.desc())
        place = func.row_number().over(partition_by=ROLLOUTS.c.model, order_by=newest_first).label("place")
        ranked = select(ROLLOUTS, place).subquery()
        rollouts = (
            select(ranked.c.document)
            .where(or_(ranked.c.place == 1, ranked.c.phase.in_(_UNDER_WAY)))
            .order_by(ranked.c.started_s, ranked.c.id)
        )
        with self._database.reading() as connection:
            return Saved(
                connection.scalar(select(REVISION.c.revision)) or 0,
                _records(connection, RolloutRecord, rollouts),
                _records(connection, CountsRecord, select(COUNTS.c.document).order_by(*COUNTS.primary_key)),
                _records(connection, Retirement, select(RETIREMENTS.c.document).order_by(RETIREMENTS.c.release)),
                _records(connection, UnloadedApplication, select(UNLOADED.c.document).order_by(UNLOADED.c.name)),
            )

    def save(self, changes: Sequence[Record | Forgotten], revision: int | None = None) -> None:
        """Keep all of it, in this order, or nothing; a record replaces the one of its key, but an event is only added.

        Args:
            changes: Records, and what is no longer kept.
            revision: Of the live table, if it has another one now.

        Raises:
            TypeError: A record holds what JSON has no word for.
        """
        rows = [(type(change), self._row(change)) for change in changes]
        with self._database.writing() as connection:
            for kind, group in groupby(rows, key=lambda row: row[0]):
                self._keep(connection, kind, [row for _, row in group])
            if revision is not None:
                self._upsert(connection, REVISION, [{"name": "live", "revision": revision}])

    def events(self, limit: int, model: str = "") -> list[Event]:
        """The last ones, the newest first; of one model if it is named."""
        query = select(EVENTS.c.document).order_by(EVENTS.c.time_s.desc(), EVENTS.c.number.desc()).limit(limit)
        with self._database.reading() as connection:
            return list(_records(connection, Event, query.where(EVENTS.c.model == model) if model else query))

    def rollouts(self, model: str, limit: int) -> list[RolloutRecord]:
        """The model's last ones, the newest first."""
        query = select(ROLLOUTS.c.document).where(ROLLOUTS.c.model == model)
        newest_first = query.order_by(ROLLOUTS.c.started_s.desc(), ROLLOUTS.c.id.desc())
        with self._database.reading() as connection:
            return list(_records(connection, RolloutRecord, newest_first.limit(limit)))

    def acquire_lock(self, name: str, owner: str, now_s: float, for_s: float) -> LockRecord:
        """Take the lock, or keep it, unless somebody else has it at `now_s`; gives whose it is then, and until when."""
        taken = self._database.insert(LOCKS).values(name=name, owner=owner, expires_s=now_s + for_s)
        is_free = or_(LOCKS.c.owner == taken.excluded.owner, LOCKS.c.expires_s <= now_s)
        changed = {"owner": taken.excluded.owner, "expires_s": taken.excluded.expires_s}
        with self._database.writing() as connection:
            connection.execute(taken.on_conflict_do_update(index_elements=["name"], set_=changed, where=is_free))
            found = connection.execute(select(LOCKS.c.owner, LOCKS.c.expires_s).where(LOCKS.c.name == name)).one()
        return LockRecord(found.owner, found.expires_s)

    def release_lock(self, name: str, owner: str) -> None:
        """Give the lock back; without effect if it is somebody else's."""
        with self._database.writing() as connection:
            connection.execute(update(LOCKS).where(LOCKS.c.name == name, LOCKS.c.owner == owner).values(expires_s=0.0))

    def prune(self, before_s: float) -> None:
        """Forget events and rollouts that ended before that time, and windows where nothing was saved since.

        What stays: the last rollout of every model, events still to be told.
        """
        newer = ROLLOUTS.alias()
        is_superseded = exists().where(newer.c.model == ROLLOUTS.c.model, newer.c.started_s > ROLLOUTS.c.started_s)
        is_awaited = exists().where(DELIVERIES.c.event_id == EVENTS.c.id)
        old_windows = select(COUNTS.c.window).group_by(COUNTS.c.window).having(func.max(COUNTS.c.saved_s) < before_s)
        old_events = select(EVENTS.c.id).where(EVENTS.c.time_s < before_s)
        with self._database.writing() as connection:
            connection.execute(
                delete(ROLLOUTS).where(
                    ROLLOUTS.c.phase.not_in(_UNDER_WAY), ROLLOUTS.c.ended_s < before_s, is_superseded
                )
            )
            connection.execute(delete(COUNTS).where(COUNTS.c.window.in_(old_windows)))
            connection.execute(
                delete(DELIVERIES).where(DELIVERIES.c.event_id.in_(old_events), DELIVERIES.c.url.not_in(self._urls))
            )
            connection.execute(delete(EVENTS).where(EVENTS.c.time_s < before_s, ~is_awaited))

    def due(self, urls: Sequence[str], now_s: float, limit: int) -> list[Delivery]:
        """What these URLs should be told by now, at most `limit` events each, the oldest first."""
        query = (
            select(EVENTS.c.document, DELIVERIES.c.url, DELIVERIES.c.attempts)
            .join(DELIVERIES, DELIVERIES.c.event_id == EVENTS.c.id)
            .where(DELIVERIES.c.next_at_s <= now_s)
            .order_by(EVENTS.c.number)
            .limit(limit)
        )
        with self._database.reading() as connection:
            rows = [row for url in urls for row in connection.execute(query.where(DELIVERIES.c.url == url))]
        return [Delivery(record_of(Event, row.document), row.url, row.attempts) for row in rows]

    def settle(self, attempts: Sequence[Settled]) -> None:
        """Keep what became of attempts to deliver."""
        with self._database.writing() as connection:
            for settled in attempts:
                delivery = settled.delivery
                row = (DELIVERIES.c.event_id == delivery.event.id, DELIVERIES.c.url == delivery.url)
                if settled.next_at_s is None:
                    connection.execute(delete(DELIVERIES).where(*row))
                else:
                    later = {"attempts": delivery.attempts + 1, "next_at_s": settled.next_at_s}
                    connection.execute(update(DELIVERIES).where(*row).values(later))

    def _row(self, change: Record | Forgotten) -> dict[str, Any]:
        match change:
            case Forgotten(kind=kind, key=key):
                return {"column": _FORGOTTEN[kind], "key": key}
            case RolloutRecord():
                keys = {name: getattr(change, name) for name in ("id", "model", "phase", "started_s", "ended_s")}
            case CountsRecord():
                keys = {name: getattr(change, name) for name in ("window", "version", "gateway")}
                keys["saved_s"] = self._clock()
            case Retirement():
                keys = {"release": change.release}
            case UnloadedApplication():
                keys = {"name": change.name}
            case Event():
                keys = {name: getattr(change, name) for name in ("id", "model", "time_s")}
        return {**keys, "document": document_of(change)}

    def _keep(self, connection: Connection, kind: type[Record | Forgotten], rows: list[dict[str, Any]]) -> None:
        if kind is Forgotten:
            for row in rows:
                connection.execute(delete(row["column"].table).where(row["column"] == row["key"]))
        elif kind is Event:
            for row in rows:
                self._add_event(connection, row)
        else:
            self._upsert(connection, _TABLES[kind], rows)

    def _upsert(self, connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
        added = self._database.insert(table)
        keys = [column.name for column in table.primary_key]
        changed = {name: added.excluded[name] for name in rows[0] if name not in keys}
        connection.execute(added.on_conflict_do_update(index_elements=keys, set_=changed), rows)

    def _add_event(self, connection: Connection, row: dict[str, Any]) -> None:
        """An event that is there already has its deliveries, or had them."""
        added = self._database.insert(EVENTS).values(row).on_conflict_do_nothing(index_elements=["id"])
        is_new = connection.scalar(added.returning(EVENTS.c.number)) is not None
        if is_new and self._urls:
            due = [{"event_id": row["id"], "url": url, "attempts": 0, "next_at_s": 0.0} for url in self._urls]
            connection.execute(self._database.insert(DELIVERIES), due)


_TABLES: dict[type[Record | Forgotten], Table] = {
    RolloutRecord: ROLLOUTS,
    CountsRecord: COUNTS,
    Retirement: RETIREMENTS,
    UnloadedApplication: UNLOADED,
}


def _records(connection: Connection, kind: type[Kept], query: Select[str]) -> tuple[Kept, ...]:
    return tuple(record_of(kind, document) for document in connection.scalars(query))
