"""Steps of the schema; that a database of newer code is refused, and two at once, is in the store's suite."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import inspect

from serve_app.release import migrating
from serve_app.release.database import Database
from serve_app.release.migrating import migrate
from serve_app.release.tables import TABLES

STEP = """
from alembic import op
from sqlalchemy import Column, Integer
revision, down_revision = "0002", "0001"
def upgrade():
    op.create_table("serve_app_later", Column("x", Integer))
    {then}
"""


@pytest.fixture
def database(tmp_path: Path):
    with closing(Database(f"sqlite:///{tmp_path}/state.db")) as opened:
        yield opened


def tables(database: Database) -> set[str]:
    with database.reading() as connection:
        return set(inspect(connection).get_table_names())


def test_an_empty_database_gets_every_table(database):
    with database.writing() as connection:
        migrate(connection, "it")
    assert tables(database) == {*TABLES.tables, "serve_app_version"}


@pytest.fixture
def a_step_more(tmp_path: Path, monkeypatch):
    """Adds a step after those of the package, in a folder whose name Alembic would read as a placeholder."""

    def add(then: str) -> None:
        here = tmp_path / "100%(here)s"
        (here / "versions").mkdir(parents=True)
        for path in ("env.py", "versions/v0001_state.py"):
            (here / path).write_text((migrating._STEPS / path).read_text())
        (here / "versions/v0002_later.py").write_text(STEP.format(then=then))
        monkeypatch.setattr(migrating, "_STEPS", here)

    return add


def test_a_later_step_is_made_on_what_is_there(database, a_step_more):
    with database.writing() as connection:
        migrate(connection, "it")
    a_step_more("pass")
    with database.writing() as connection:
        migrate(connection, "it")
    assert "serve_app_later" in tables(database)


def test_a_step_that_fails_leaves_the_schema_as_it_was(database, a_step_more):
    with database.writing() as connection:
        migrate(connection, "it")
    before = tables(database)
    a_step_more("raise KeyError('late')")

    def fail() -> None:
        with database.writing() as connection:
            migrate(connection, "it")

    with pytest.raises(KeyError):
        fail()
    assert tables(database) == before
