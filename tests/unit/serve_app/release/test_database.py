"""URLs of databases, and transactions; what a server adds is among the integration tests."""

from __future__ import annotations

from contextlib import closing

import pytest
from sqlalchemy import text

from serve_app.errors import ConfigError, ControllerAway
from serve_app.release.database import Database


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        *(("sqlite://", "must name a file"), ("sqlite:///:memory:", "must name a file")),
        ("sqlite:///file:state.db?uri=true", "must name a file"),
        ("mysql://root:hidden@host/state", r"mysql://host/state must begin with sqlite:// or postgresql"),
        ("postgresql://host/state", r"must begin with sqlite:// or postgresql\+psycopg://"),
        *(("hidden", "is not a URL"), ("sqlite://host:hidden/state", "is not a URL")),
    ],
)
def test_a_url_that_cannot_be_used_is_the_operators(url, reason):
    with pytest.raises(ConfigError, match=reason) as refused:
        Database(url)
    assert "hidden" not in str(refused.value)


def test_what_is_shown_of_a_url_has_neither_a_secret_nor_a_user():
    url = "postgresql+psycopg://user:one@host:1/state?password=two"
    for database in (Database(url), Database("postgresql+psycopg://user@host:1/state", "three")):
        with closing(database):
            assert database.name == "postgresql+psycopg://host:1/state"


def test_nobody_there_is_away():
    with (
        closing(Database("postgresql+psycopg://127.0.0.1:1/state")) as database,
        pytest.raises(ControllerAway, match=r"127\.0\.0\.1:1/state: connection failed.*refused"),
        database.reading(),
    ):
        pass


def test_a_folder_that_cannot_be_made_is_away(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ControllerAway, match=r"state.db: its folder cannot be made: (File|Not)") as away:
        Database(f"sqlite:///{tmp_path}/file/state.db")
    assert str(tmp_path) not in str(away.value)


def test_a_relative_file_stays_where_it_was_opened(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with closing(Database("sqlite:///folder/state.db")) as database:
        monkeypatch.chdir(tmp_path / "elsewhere")
        with database.writing() as connection:
            connection.execute(text("CREATE TABLE t (x INTEGER)"))
    assert (tmp_path / "folder/state.db").stat().st_size
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_transaction_that_raises_leaves_nothing_behind(tmp_path):
    with closing(Database(f"sqlite:///{tmp_path}/state.db")) as database:

        def fail() -> None:
            with database.writing() as connection:
                connection.execute(text("CREATE TABLE t (x INTEGER)"))
                raise ValueError

        with pytest.raises(ValueError):  # noqa: PT011 - as it was raised
            fail()
        with pytest.raises(ControllerAway, match="no such table: t"), database.reading() as connection:
            connection.execute(text("SELECT * FROM t"))


def test_an_error_tells_no_values(tmp_path):
    with (
        closing(Database(f"sqlite:///{tmp_path}/state.db")) as database,
        pytest.raises(ControllerAway) as away,
        database.writing() as connection,
    ):
        connection.execute(text("INSERT INTO t VALUES (:value)"), {"value": "private"})
    assert "private" not in str(away.value)


def test_a_reader_sees_one_state(tmp_path):
    with closing(Database(f"sqlite:///{tmp_path}/state.db")) as database:
        with database.writing() as connection:
            connection.execute(text("CREATE TABLE t (x INTEGER)"))
        with database.reading() as reader:
            before = reader.scalar(text("SELECT count(*) FROM t"))
            with database.writing() as writer:
                writer.execute(text("INSERT INTO t VALUES (1)"))
            assert (before, reader.scalar(text("SELECT count(*) FROM t"))) == (0, 0)
