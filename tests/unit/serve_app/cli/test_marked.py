"""Processes found and ended by a marker in their environment."""

import os
import subprocess
import sys
import uuid

import psutil
import pytest

from serve_app.cli.marked import end_marked, marked_processes

NAME = "SERVE_APP_TEST_MARK"
TELL = "import sys; sys.stdout.write('up\\n'); sys.stdout.flush()\n"
OBEDIENT = TELL + "sys.stdin.read()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + OBEDIENT
# A grandchild in a session of its own whose parent has gone and whose environment is clean but for the marker.
ORPHAN = (
    "import os, subprocess, sys\n"
    f"subprocess.Popen([sys.executable, '-c', {STUBBORN!r}], start_new_session=True, env=dict(os.environ))\n"
)


@pytest.fixture
def start():
    """Start Python with the marker, wait until it says `up`; returns its Popen."""
    children = []

    def begin(code, mark):
        environment = {**os.environ, NAME: mark}
        child = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        children.append(child)
        assert child.stdout.readline() == b"up\n"
        return child

    yield begin
    for child in children:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


@pytest.fixture
def mark():
    return uuid.uuid4().hex


def pids(mark):
    return {process.pid for process in marked_processes(NAME, mark)}


def test_only_processes_with_that_very_mark_are_found(start, mark):
    child, other = start(OBEDIENT, mark), start(OBEDIENT, mark + "0")
    assert pids(mark) == {child.pid}
    assert pids(mark + "0") == {other.pid}


def test_this_process_is_never_found(monkeypatch, mark):
    monkeypatch.setenv(NAME, mark)
    assert os.getpid() not in pids(mark)


def test_an_obedient_process_ends_on_sigterm(start, mark):
    child, other = start(OBEDIENT, mark), start(OBEDIENT, mark + "0")
    assert end_marked(NAME, mark, terminate_s=10, kill_s=10) == (1, [])
    assert child.poll() is not None
    assert other.poll() is None


def test_a_stubborn_process_is_killed(start, mark):
    child = start(STUBBORN, mark)
    assert end_marked(NAME, mark, terminate_s=0.2, kill_s=10) == (1, [])
    assert child.poll() is not None


def test_an_orphan_in_its_own_session_is_ended_too(start, mark):
    start(ORPHAN, mark).wait(10)
    (orphan,) = marked_processes(NAME, mark)
    assert os.getsid(orphan.pid) == orphan.pid
    assert end_marked(NAME, mark, terminate_s=0.2, kill_s=10) == (1, [])
    assert not psutil.pid_exists(orphan.pid) or orphan.status() == psutil.STATUS_ZOMBIE


def test_a_child_with_a_clean_environment_is_found_through_its_parent(start, mark):
    clean = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', " + repr(OBEDIENT) + "], env={})\n"
    parent = start(clean, mark)
    assert len(pids(mark)) == 2
    assert parent.pid in pids(mark)
    assert end_marked(NAME, mark, terminate_s=10, kill_s=10) == (2, [])


def test_nothing_to_end_is_no_error(mark):
    assert end_marked(NAME, mark, terminate_s=0, kill_s=0) == (0, [])
