"""Commands and what they wrote, and a status that is asked for again and again."""

from __future__ import annotations

import sys
import time

import pytest

from load_tests.releases import running
from load_tests.releases.running import Command, Running, StatusWatch, free_ports
from load_tests.servers.program import wait_until


@pytest.fixture
def python(monkeypatch):
    monkeypatch.setattr(running, "_SERVE_APP", sys.executable)


def test_ports_are_three_and_free():
    ports = free_ports()
    assert len({ports.http, ports.grpc, ports.express}) == 3


def test_lines_have_their_times_and_the_exit_code_is_told(python):
    command = Command.start("-c", "print('one'); print('digits: succeeded'); raise SystemExit(3)")
    assert command.wait() == 3
    assert command.output == "one\ndigits: succeeded"
    at = command.said_s("succeeded")
    assert at is not None
    assert command.began_s < at <= command.ended_s
    assert command.said_s("failed") is None


def test_a_killed_command_keeps_what_it_wrote(python):
    command = Command.start("-c", "import signal; print('one', flush=True); signal.pause()")
    assert wait_until(lambda: command.output == "one", 30)
    command.kill()
    assert (command.process.returncode, command.output) == (-9, "one")


def test_nobody_who_answers_is_an_empty_status(tmp_path):
    server = Running("http://127.0.0.1:1", "", tmp_path, None)
    assert (server.status(), server.model("digits"), server.rollout("digits")) == ({}, {}, {})


class Fake(Running):
    """Shows one status after the other, and the last one for ever."""

    documents: list[dict]

    def status(self):
        return self.documents.pop(0) if len(self.documents) > 1 else self.documents[0]


def status_of(percent: float, reason: str) -> dict:
    state = {"ready": not reason, "reason": reason}
    return {"models": {"digits": {"traffic": {"v2": percent}, "versions": {"v2": state}}}}


def test_a_watch_has_seen_every_percent_and_each_reason_once(tmp_path):
    server = Fake("", "", tmp_path, None)
    server.documents = [status_of(0, "it starts"), status_of(0, "it starts"), status_of(25, "")]
    with StatusWatch(server, every_s=0.001) as watch:
        assert wait_until(lambda: len(watch.seen) > 3, 30)
    assert watch.percents("digits", "v2")[:3] == [0, 0, 25]
    assert watch.reasons("digits", "v2") == ["it starts"]
    assert all(at <= time.perf_counter() for at, _ in watch.seen)


def test_ready_versions_are_those_that_every_gateway_can_call(tmp_path):
    server = Fake("", "", tmp_path, None)
    server.documents = [status_of(0, "it starts")]
    assert server.ready_versions("digits") == set()
    server.documents = [status_of(0, "")]
    assert server.ready_versions("digits") == {"v2"}
