"""The first step; that it makes what the code knows, nullable columns and keys included, is in the store's suite."""

from __future__ import annotations

from contextlib import closing

from sqlalchemy import inspect

from serve_app.release.database import Database
from serve_app.release.migrating import migrate
from serve_app.release.migrations.versions import v0001_state
from serve_app.release.tables import TABLES


def test_it_is_the_first_step():
    assert (v0001_state.revision, v0001_state.down_revision) == ("0001", None)


def test_keys_are_those_that_the_code_relies_on(tmp_path):
    """Alembic's comparison leaves primary keys out."""
    with closing(Database(f"sqlite:///{tmp_path}/state.db")) as database:
        with database.writing() as connection:
            migrate(connection, "it")
        with database.reading() as connection:
            for name, table in TABLES.tables.items():
                keys = inspect(connection).get_pk_constraint(name)["constrained_columns"]
                assert keys == [column.name for column in table.primary_key]
