from __future__ import annotations

import os
import socket
import sys

import psutil
import pytest

from load_tests.servers.program import Program, started, wait_until
from load_tests.target import HostUnavailable

LISTEN = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(600)"
# a child that outlives its parent's own end and hangs under init
ORPHAN = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print('orphan', os.getpid(), flush=True)
        time.sleep(600)
    os._exit(0)
os.wait()
time.sleep(600)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_its_port_is_open_while_it_runs_and_free_afterwards(tmp_path):
    port = free_port()
    with started(Program("listens", [sys.executable, "-c", LISTEN, str(port)], [port]), tmp_path) as running:
        assert wait_until(lambda: is_open(port), 20)
        assert running.is_alive
        assert running.root_pids() == (running.process.pid,)
    assert not is_open(port)
    assert not running.is_alive


def test_a_process_that_left_its_tree_is_a_root_of_its_own_and_is_ended(tmp_path):
    with started(Program("orphan", [sys.executable, "-c", ORPHAN], []), tmp_path) as running:
        assert wait_until(lambda: "orphan" in running.log_tail(), 20)
        orphan = int(running.log_tail().split()[1])
        assert wait_until(lambda: set(running.root_pids()) == {running.process.pid, orphan}, 20)
    assert not is_alive(orphan)


def test_a_taken_port_is_named_and_nothing_is_started(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = Program("late", [sys.executable], [port])
        with pytest.raises(HostUnavailable, match=f"port {port} for late is taken"), started(program, tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_missing_program_is_unavailable(tmp_path):
    program = Program("gone", [str(tmp_path / "gone")], [])
    with pytest.raises(HostUnavailable, match="gone cannot be run: No such file"), started(program, tmp_path):
        pass


def test_everything_ends_also_when_the_load_raises(tmp_path):
    program = Program("raises", [sys.executable, "-c", "import time; time.sleep(600)"], [], stop_s=5)
    with pytest.raises(ZeroDivisionError), started(program, tmp_path) as running:
        raise ZeroDivisionError
    assert not running.is_alive


def test_a_program_that_ignores_sigint_is_ended_after_its_time(tmp_path):
    script = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    with started(Program("deaf", [sys.executable, "-c", script], [], stop_s=0.2), tmp_path) as running:
        assert wait_until(lambda: "up" in running.log_tail(), 20)
    assert not running.is_alive


def test_its_environment_is_ours_with_its_own_added(tmp_path):
    script = "import os; print(os.environ['ADDED'], os.environ['PATH'])"
    program = Program("env", [sys.executable, "-c", script], [], {"ADDED": "yes"})
    with started(program, tmp_path) as running:
        assert wait_until(lambda: not running.is_alive, 20)
        assert running.log_tail() == f"yes {os.environ['PATH']}"


def test_a_claim_that_never_comes_true_ends_at_its_limit():
    assert not wait_until(lambda: False, 0.05)
