"""The store over a SQLite file."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from support.records import RETIREMENT, event
from support.store_suite import StoreSuite, clock, database, store

from serve_app.errors import ConfigError, ControllerAway
from serve_app.release.records import Saved
from serve_app.release.store import Store

__all__ = ["clock", "database", "store"]  # fixtures of the suite

OPEN = "import sys; from serve_app.release.store import Store; Store.open(sys.argv[1]).close()"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "controller.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


class TestSqlite(StoreSuite):
    pass


def test_a_locked_database_is_away_and_then_back(store, path):
    store.save([RETIREMENT])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ControllerAway, match=r"its database sqlite:///controller.db: database is locked"):
            store.save([event()])
        assert store.load() == Saved(retirements=(RETIREMENT,))  # readers do not wait for a writer
        other.execute("ROLLBACK")
    store.save([event()])
    assert store.events(1) == [event()]


def test_a_full_disk_is_away_and_then_back(store, path, database):
    with database.writing() as connection:
        (pages,) = connection.exec_driver_sql("PRAGMA page_count").one()
    # The limit is a connection's own, and each thread's next transaction uses the one that the last gave back.
    with store._database.reading() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(ControllerAway, match="database or disk is full"):
        store.save([event(text="x" * 100_000)])
    with store._database.reading() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    store.save([event()])
    assert store.events(10) == [event()]


def test_processes_may_open_an_empty_database_at_once(url):
    started = [subprocess.Popen([sys.executable, "-c", OPEN, url]) for _ in range(2)]  # noqa: S603 - our own code
    assert [process.wait() for process in started] == [0, 0]
    with closing(Store.open(url)) as opened:
        assert opened.load() == Saved()


def test_what_is_no_database_is_away(tmp_path):
    (tmp_path / "state.db").write_text("This is a text, and a long one, as far as that goes." * 100)
    with pytest.raises(ControllerAway, match="file is not a database"):
        Store.open(f"sqlite:///{tmp_path}/state.db")


def test_a_url_that_cannot_be_used_is_the_operators():
    with pytest.raises(ConfigError, match="must name a file"):
        Store.open("sqlite://")
