"""What Alembic executes."""

from __future__ import annotations

from contextlib import closing

from sqlalchemy import text

from serve_app.release.database import Database
from serve_app.release.migrating import migrate


def test_the_schemas_number_is_in_a_table_that_is_ours(tmp_path):
    """Others of the same database may use Alembic as well, with a table of its own choice."""
    with closing(Database(f"sqlite:///{tmp_path}/state.db")) as database:
        with database.writing() as connection:
            connection.execute(text("CREATE TABLE alembic_version (version_num TEXT)"))
            connection.execute(text("INSERT INTO alembic_version VALUES ('of another program')"))
            migrate(connection, "it")
        with database.reading() as connection:
            assert connection.scalars(text("SELECT version_num FROM serve_app_version")).all() == ["0001"]
            assert connection.scalars(text("SELECT version_num FROM alembic_version")).all() == ["of another program"]
