"""The store over a real PostgreSQL: all that it does over SQLite, and what a server adds: it may be away."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from sqlalchemy import text
from support.postgres import PASSWORD, Postgres, programs
from support.records import RETIREMENT, event
from support.store_suite import HOOK, StoreSuite, clock, database, store

from serve_app.errors import ControllerAway
from serve_app.release.database import Database
from serve_app.release.records import LockRecord, Saved
from serve_app.release.store import Store

__all__ = ["clock", "database", "store"]  # fixtures of the suite

OPEN = "import sys; from serve_app.release.store import Store; Store.open(sys.argv[1]).close()"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    found = programs()
    if found is None:
        pytest.skip("there is no PostgreSQL (initdb), and only root can install it, with apt-get")
    server = Postgres(found)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def name(postgres: Postgres) -> str:
    """Of a new database."""
    name = f"state_{uuid.uuid4().hex}"
    postgres.execute(f"CREATE DATABASE {name}")
    return name


@pytest.fixture
def url(postgres: Postgres, name: str) -> str:
    return postgres.url(name)


class TestPostgres(StoreSuite):
    pass


def test_a_server_that_is_away_costs_nothing_that_was_saved(postgres, store):
    store.save([RETIREMENT, event("before")], revision=1)
    postgres.stop()
    try:
        for _ in range(2):
            with pytest.raises(ControllerAway, match=r"its database postgresql\+psycopg://") as away:
                store.save([event("meanwhile")])
            assert PASSWORD not in str(away.value)
            with pytest.raises(ControllerAway):
                store.load()
    finally:
        postgres.start()
    assert store.load() == Saved(1, retirements=(RETIREMENT,))
    store.save([event("meanwhile")])
    assert [one.id for one in store.events(10)] == ["meanwhile", "before"]
    assert [one.event.id for one in store.due([HOOK], 0, 10)] == ["before", "meanwhile"]


def test_a_server_that_dies_in_a_transaction_keeps_nothing_of_it(postgres, store, database):
    def die() -> None:
        with database.writing() as connection:
            connection.execute(text("INSERT INTO serve_app_unloaded VALUES ('digits', '{}')"))
            postgres.stop()

    try:
        with pytest.raises(ControllerAway):
            die()
    finally:
        postgres.start()
    assert store.load() == Saved()


def test_a_server_that_is_away_at_the_start_is_asked_again(postgres, url):
    postgres.stop()
    try:
        with pytest.raises(ControllerAway, match="refused"):
            Store.open(url)
    finally:
        postgres.start()
    with closing(Store.open(url)) as opened:
        assert opened.load() == Saved()


def test_a_table_that_somebody_locked_is_away_and_then_back(postgres, store, name):
    address = {"host": "127.0.0.1", "port": postgres.port, "dbname": name, "user": "postgres", "password": PASSWORD}
    with psycopg.connect(**address) as other:
        other.execute("LOCK TABLE serve_app_events")
        with pytest.raises(ControllerAway, match="statement timeout"):
            store.save([event()])
        other.rollback()
    store.save([event()])
    assert store.events(10) == [event()]


def test_the_password_stands_beside_the_url_and_in_no_error(postgres, name):
    with closing(Store.open(postgres.url(name, ""), PASSWORD)) as opened:
        assert opened.acquire_lock("apply", "ann", 1.0, 2.0) == LockRecord("ann", 3.0)
    with pytest.raises(ControllerAway, match="password authentication failed") as away:
        Store.open(postgres.url(name, ""), "wrong-one")
    assert "wrong-one" not in str(away.value)
    with pytest.raises(ControllerAway, match=r'"not_\*\*\*" does not exist'):
        Store.open(postgres.url(f"not_{PASSWORD}"))


def test_options_of_the_url_hold_beside_ours(url):
    options = "options=-c%20search_path%3Dpg_temp&connect_timeout=7"
    with closing(Database(f"{url}?{options}")) as one, one.reading() as connection:
        assert connection.scalar(text("SHOW search_path")) == "pg_temp"
        assert connection.scalar(text("SHOW statement_timeout")) == "5s"


def test_processes_may_open_an_empty_database_at_once(url):
    started = [subprocess.Popen([sys.executable, "-c", OPEN, url]) for _ in range(2)]  # noqa: S603 - our own code
    assert [process.wait() for process in started] == [0, 0]
    with closing(Store.open(url)) as opened:
        assert opened.load() == Saved()
