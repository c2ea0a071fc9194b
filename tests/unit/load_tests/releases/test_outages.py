"""What is claimed after an outage, and a database that is really locked."""

from __future__ import annotations

import sqlite3
from types import SimpleNamespace

import pytest

from load_tests.releases import outages, scene
from load_tests.releases.load import Load
from load_tests.releases.outcomes import Outcome
from load_tests.releases.running import Command

APPLY = Command(SimpleNamespace(returncode=0), 0.0, [], 1.0)


def events(*kinds: str) -> dict:
    """The newest first, as a status has them."""
    return {"events": [{"kind": kind, "model": "digits"} for kind in reversed(kinds)]}


def test_each_event_must_be_there_in_its_order():
    assert outages._kept(events("rollout_started", "step", "kept", "step", "succeeded")).is_true
    assert not outages._kept(events("rollout_started", "step", "succeeded")).is_true
    assert not outages._kept({}).is_true


def test_another_rollout_in_its_place_is_not_the_same_end():
    ended = ({"id": "1", "phase": "succeeded"}, {})
    assert outages._ended(APPLY, {"id": "1"}, ended).is_true
    assert not outages._ended(APPLY, {"id": "0"}, ended).is_true
    assert not outages._ended(APPLY, {"id": "1"}, ({"id": "1", "phase": "rolled_back"}, {})).is_true


def test_a_second_without_a_request_is_a_gap():
    everyone = [Outcome(second + 0.5, 0, 1.0, 200) for second in range(10)]
    assert outages._went_on(Load(10, everyone), 0.0).is_true
    assert not outages._went_on(Load(9, everyone[1:]), 0.0).is_true


def test_nobody_else_writes_while_the_database_is_locked(tmp_path):
    path = tmp_path / "state.db"
    sqlite3.connect(path).execute("CREATE TABLE t (x)").connection.close()
    other = sqlite3.connect(path, timeout=0.01)
    with outages._exclusively(path), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("INSERT INTO t VALUES (1)")
    other.execute("INSERT INTO t VALUES (1)")
    other.close()


def test_state_goes_to_postgres_with_its_password_in_a_variable(tmp_path):
    file = outages._on_postgres(scene.with_digits(tmp_path), "postgresql+psycopg://postgres@127.0.0.1:1/postgres")
    assert file.gateway["args"]["releases"] == {
        "state_url": "postgresql+psycopg://postgres@127.0.0.1:1/postgres",
        "state_password_env": "SHOWS_STATE_PASSWORD",
    }
