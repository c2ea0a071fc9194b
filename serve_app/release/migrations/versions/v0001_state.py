"""The controller's state, the events and what is still to be told of them, and locks."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, Double, Integer, Text

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table."""
    op.create_table("serve_app_revision", Column("name", Text, primary_key=True), Column("revision", Integer))
    op.create_table(
        "serve_app_rollouts",
        Column("id", Text, primary_key=True),
        Column("model", Text, nullable=False),
        Column("phase", Text, nullable=False),
        Column("started_s", Double, nullable=False),
        Column("ended_s", Double, nullable=False),
        Column("document", Text, nullable=False),
    )
    op.create_index("serve_app_rollouts_by_model", "serve_app_rollouts", ["model", "started_s"])
    op.create_table(
        "serve_app_counts",
        Column("window", Text, primary_key=True),
        Column("version", Text, primary_key=True),
        Column("gateway", Text, primary_key=True),
        Column("saved_s", Double, nullable=False),
        _document(),
    )
    op.create_table("serve_app_retirements", Column("release", Text, primary_key=True), _document())
    op.create_table("serve_app_unloaded", Column("name", Text, primary_key=True), _document())
    op.create_table(
        "serve_app_locks",
        Column("name", Text, primary_key=True),
        Column("owner", Text, nullable=False),
        Column("expires_s", Double, nullable=False),
    )
    _create_events()


def _create_events() -> None:
    op.create_table(
        "serve_app_events",
        Column("number", Integer, primary_key=True, autoincrement=True),
        Column("id", Text, nullable=False),
        Column("model", Text, nullable=False),
        Column("time_s", Double, nullable=False),
        _document(),
    )
    op.create_index("serve_app_events_by_id", "serve_app_events", ["id"], unique=True)
    op.create_index("serve_app_events_by_time", "serve_app_events", ["time_s"])
    op.create_table(
        "serve_app_deliveries",
        Column("event_id", Text, primary_key=True),
        Column("url", Text, primary_key=True),
        Column("attempts", Integer, nullable=False),
        Column("next_at_s", Double, nullable=False),
    )


def _document() -> Column[str]:
    return Column("document", Text, nullable=False)
