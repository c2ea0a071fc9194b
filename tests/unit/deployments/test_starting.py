"""Replicas that answer go before those that start, where the system lets them: each case in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deployments import starting

IMPORTS = "import gc, json, os, threading; from deployments import starting"
BODY = """
def look():
    return sorted({os.getpriority(os.PRIO_PROCESS, int(thread)) for thread in os.listdir("/proc/self/task")})

over = threading.Event()
def with_thread():
    threading.Thread(target=over.wait).start()

before = look()
with_thread()
with starting.starting():
    with_thread()
    while_starting = look()
    looks_for_garbage = gc.isenabled()
with_thread()
print(json.dumps([before, while_starting, look(), threading.active_count(), looks_for_garbage, gc.isenabled()]))
over.set()
"""
NOBODY = "os.setgid(65534); os.setuid(65534)"


def seen(prelude: str = "") -> list[object]:
    """Niceness of threads at first, while it starts, once it serves; how many; if garbage is looked for, and then."""
    script = f"{IMPORTS}\n{prelude}\n{BODY}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    found: list[object] = json.loads(done.stdout)
    return found


def _may_rise() -> bool:
    code = "import os; os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) - 1)"
    return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0  # noqa: S603 - ours


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become nobody")
needs_right = pytest.mark.skipif(not _may_rise(), reason="this user may not raise a process's priority")


@needs_right
def test_every_thread_waits_while_it_starts_and_goes_first_once_it_serves() -> None:
    assert seen("os.setpriority(os.PRIO_PROCESS, 0, 0)") == [[0], [10], [-5], 4, False, True]


@needs_root
def test_who_could_not_rise_again_does_not_wait_either() -> None:
    assert seen(f"{NOBODY}; os.setpriority(os.PRIO_PROCESS, 0, 3)") == [[3], [3], [3], 4, False, True]


def test_where_the_system_has_no_such_list_of_threads_nothing_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(starting, "_THREADS", tmp_path / "missing")
    before = os.getpriority(os.PRIO_PROCESS, 0)
    assert not starting.go_first()
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
