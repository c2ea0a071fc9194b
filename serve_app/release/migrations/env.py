"""Executed by Alembic: runs the steps on the connection, and in the transaction, that it is given."""

from __future__ import annotations

from alembic import context

from serve_app.release.tables import PREFIX, TABLES

context.configure(
    connection=context.config.attributes["connection"], target_metadata=TABLES, version_table=f"{PREFIX}version"
)
with context.begin_transaction():
    context.run_migrations()
