"""The tables of the controller's database: keys and what is searched by as columns, each record whole as a document.

A record that gets another field needs no other table, then.
"""

from __future__ import annotations

from sqlalchemy import Column, Dialect, Double, Index, Integer, MetaData, Table, Text
from sqlalchemy.types import TypeDecorator

PREFIX = "serve_app_"
"""Of all names, because a PostgreSQL database may be shared with others."""

TABLES = MetaData()


class Key(TypeDecorator[str]):
    """Text that every database takes: what UTF-8 or PostgreSQL cannot carry becomes `?`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """What is sent to the database."""
        return None if value is None else value.encode("utf-8", "replace").decode().replace("\0", "?")


def _key(name: str) -> Column[str]:
    return Column(name, Key, primary_key=True)


def _text(name: str) -> Column[str]:
    return Column(name, Key, nullable=False)


def _seconds(name: str) -> Column[float]:
    return Column(name, Double, nullable=False)


def _document() -> Column[str]:
    return Column("document", Text, nullable=False)


REVISION = Table(f"{PREFIX}revision", TABLES, _key("name"), Column("revision", Integer))

ROLLOUTS = Table(
    f"{PREFIX}rollouts",
    TABLES,
    *(_key("id"), _text("model"), _text("phase"), _seconds("started_s"), _seconds("ended_s"), _document()),
    Index(f"{PREFIX}rollouts_by_model", "model", "started_s"),
)

COUNTS = Table(
    f"{PREFIX}counts", TABLES, _key("window"), _key("version"), _key("gateway"), _seconds("saved_s"), _document()
)

RETIREMENTS = Table(f"{PREFIX}retirements", TABLES, _key("release"), _document())

UNLOADED = Table(f"{PREFIX}unloaded", TABLES, _key("name"), _document())

EVENTS = Table(
    f"{PREFIX}events",
    TABLES,
    Column("number", Integer, primary_key=True, autoincrement=True),  # in the order in which they were saved
    *(_text("id"), _text("model"), _seconds("time_s"), _document()),
    Index(f"{PREFIX}events_by_id", "id", unique=True),
    Index(f"{PREFIX}events_by_time", "time_s"),
)

DELIVERIES = Table(
    f"{PREFIX}deliveries",
    TABLES,
    *(_key("event_id"), _key("url"), Column("attempts", Integer, nullable=False), _seconds("next_at_s")),
)

LOCKS = Table(f"{PREFIX}locks", TABLES, _key("name"), _text("owner"), _seconds("expires_s"))
