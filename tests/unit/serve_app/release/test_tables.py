"""The tables' names and keys."""

from __future__ import annotations

import pytest
from sqlalchemy.dialects import sqlite

from serve_app.release.tables import PREFIX, TABLES, Key


def test_a_database_may_be_shared_with_others():
    names = [*TABLES.tables, *(index.name for table in TABLES.tables.values() for index in table.indexes)]
    assert all(name.startswith(PREFIX) for name in names)


def test_every_table_has_a_key():
    assert all(len(table.primary_key) for table in TABLES.tables.values())


@pytest.mark.parametrize(
    ("text", "sent"), [("digits-v1", "digits-v1"), ("a\0b", "a?b"), ("a\udc80", "a?"), ("é", "é"), (None, None)]
)
def test_keys_are_text_that_every_database_takes(text, sent):
    assert Key().process_bind_param(text, sqlite.dialect()) == sent
