"""Brings the controller's database to the schema of this code, whoever else does so at the same time."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from serve_app.errors import ConfigError
from serve_app.release.tables import PREFIX

_STEPS = Path(__file__).parent / "migrations"
_ONE_AT_A_TIME = threading.Lock()  # Alembic's context is one for the whole process
_ADVISORY_LOCK = 0x5E27EA99  # any number that nobody else has taken


def migrate(connection: Connection, name: str) -> None:
    """Execute the steps that the database has not seen yet, in the transaction under way.

    Args:
        connection: In a transaction that keeps other writers of a SQLite file away.
        name: Of the database, for errors.

    Raises:
        ConfigError: The database has seen steps that this code does not know.
        SQLAlchemyError: The database failed, or somebody else migrates it for longer than a statement may take.
    """
    with _ONE_AT_A_TIME:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
            connection.execute(text("SET LOCAL statement_timeout = 0"))  # a step takes what the tables' size takes
        config = Config()
        config.set_main_option("script_location", str(_STEPS).replace("%", "%%"))
        config.attributes["connection"] = connection
        steps = ScriptDirectory.from_config(config)
        seen = MigrationContext.configure(connection, opts={"version_table": f"{PREFIX}version"}).get_current_revision()
        known = [step.revision for step in steps.walk_revisions()]
        if seen is not None and seen not in known:
            raise ConfigError(
                f"{name} was written by a newer serve-app: its schema is {seen}, this version knows up to {known[0]}; "
                f"install the newer one again, or name another state_url"
            )
        if seen != known[0]:
            command.upgrade(config, "head")
