"""Transactions on SQLite or PostgreSQL, whose every failure is a `ControllerAway`."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from serve_app.errors import ConfigError, ControllerAway

CONNECT_S, BUSY_S, STATEMENT_S = 2, 2.0, 5
# A server that is gone without a word is noticed by TCP: what it does not acknowledge, and probes while it is silent.
_POSTGRES = {
    "connect_timeout": CONNECT_S,
    "tcp_user_timeout": 1000 * STATEMENT_S,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "prepare_threshold": None,  # prepared statements do not survive a pooler such as PgBouncer
}


class Database:
    """The connections to one database; for any number of threads.

    Args:
        url: SQLAlchemy's, `sqlite:///` with a file or `postgresql+psycopg://`.
        password: Instead of one in the URL; empty where none is needed.

    Raises:
        ConfigError: The URL cannot be used, or the driver that it needs is not installed.
        ControllerAway: The folder of the file cannot be created.
    """

    def __init__(self, url: str, password: str = "") -> None:
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):
            raise ConfigError("state_url is not a URL as SQLAlchemy has them, such as sqlite:///state.db") from None
        if password:
            parsed = parsed.set(password=password)
        self._secrets = {secret for secret in (parsed.password, parsed.query.get("password")) if secret}
        self.name = _name_of(parsed)
        make = {"sqlite": self._sqlite, "postgresql+psycopg": self._postgres}.get(parsed.drivername)
        if make is None:
            raise ConfigError(f"state_url {self.name} must begin with sqlite:// or postgresql+psycopg://")
        try:
            self._reads, self._writes = make(parsed)
        except ImportError as error:
            raise ConfigError(f"state_url {self.name} needs the package psycopg[binary]: {error}") from None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database.

        Raises:
            ControllerAway: The database does not answer, or not as it should.
        """
        with self._transaction(self._reads) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is kept whole or not at all; on SQLite no other writes meanwhile.

        Raises:
            ControllerAway: The database does not answer, or not as it should; then nothing is kept, unless the answer
                to the commit itself was lost.
        """
        with self._transaction(self._writes) as connection:
            yield connection

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """An `INSERT` of the dialect, which knows `ON CONFLICT`."""
        return sqlite.insert(table) if self._writes.dialect.name == "sqlite" else postgresql.insert(table)

    def close(self) -> None:
        """End the connections that nobody uses."""
        self._writes.dispose()

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        try:
            with engine.begin() as connection:
                yield connection
        except (SQLAlchemyError, sqlite3.Error) as error:  # what `_use_log` raises comes as it is
            raise ControllerAway(f"its database {self.name}: {self._reason(error)}") from None

    def _reason(self, error: Exception) -> str:
        """One line without the statement, whose values are nobody's business, and without passwords."""
        cause = getattr(error, "orig", None) or error
        reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        for secret in self._secrets:
            reason = reason.replace(str(secret), "***")
        return reason

    def _sqlite(self, url: URL) -> tuple[Engine, Engine]:
        if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
            raise ConfigError(f"state_url {self.name} must name a file, such as sqlite:///state.db")
        path = Path(url.database).absolute()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ControllerAway(f"its database {self.name}: its folder cannot be made: {error.strerror}") from None
        engine = create_engine(url.set(database=str(path)), connect_args={"timeout": BUSY_S}, pool_timeout=BUSY_S)
        event.listen(engine, "connect", _use_log)
        event.listen(engine, "begin", _begin)
        return engine, engine.execution_options(begin="BEGIN IMMEDIATE")

    def _postgres(self, url: URL) -> tuple[Engine, Engine]:
        options = f"{url.query.get('options', '')} -c statement_timeout={STATEMENT_S}s"
        chosen = {name: value for name, value in _POSTGRES.items() if name not in url.query}
        engine = create_engine(
            url, connect_args={**chosen, "options": options.strip()}, pool_pre_ping=True, pool_timeout=CONNECT_S
        )
        return engine.execution_options(isolation_level="REPEATABLE READ"), engine


def _name_of(url: URL) -> str:
    """The database for sentences, which strangers may read too: neither a user nor where on the machine a file lies."""
    is_file = url.get_backend_name() == "sqlite" and url.database
    database = Path(url.database).name if is_file and url.database else url.database
    bare = URL.create(url.drivername, host=url.host, port=url.port, database=database)
    return bare.render_as_string()


def _use_log(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """Have a SQLite file read while it is written, and begin transactions ourselves: Python's driver does so late."""
    connection.isolation_level = None
    cursor = connection.cursor()
    give_up_at = time.monotonic() + BUSY_S
    while cursor.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:  # somebody else does the same; SQLite waits for no lock here
            if time.monotonic() >= give_up_at:
                raise
            time.sleep(0.01)
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))
