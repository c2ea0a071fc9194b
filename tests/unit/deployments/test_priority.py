"""Replicas that answer go before those that start, where the system lets them: each case in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deployments import priority

IMPORTS = "import json, os, threading; from deployments import priority"
BODY = """
def look():
    return sorted({os.getpriority(os.PRIO_PROCESS, int(thread)) for thread in os.listdir("/proc/self/task")})

over = threading.Event()
def with_thread():
    threading.Thread(target=over.wait).start()

before = look()
with_thread()
priority.wait_for_others()
with_thread()
starting = look()
may = priority.go_first()
with_thread()
print(json.dumps([before, starting, may, look(), threading.active_count()]))
over.set()
"""
NOBODY = "os.setgid(65534); os.setuid(65534)"


def seen(prelude: str = "") -> list[object]:
    """Niceness of all threads at first, while it starts and once it serves, whether it may, and the threads."""
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
    assert seen("os.setpriority(os.PRIO_PROCESS, 0, 0)") == [[0], [10], True, [-5], 4]


@needs_root
def test_who_could_not_rise_again_does_not_wait_either() -> None:
    assert seen(f"{NOBODY}; os.setpriority(os.PRIO_PROCESS, 0, 3)") == [[3], [3], False, [3], 4]


def test_where_the_system_has_no_such_list_of_threads_nothing_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(priority, "_THREADS", tmp_path / "missing")
    before = os.getpriority(os.PRIO_PROCESS, 0)
    assert not priority.go_first()
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
