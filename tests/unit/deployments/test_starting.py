"""Replicas that answer go before those that start, where the system lets them: each case in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.niceness import may_rise

from deployments import starting

IMPORTS = "import gc, json, os, subprocess, sys, threading; from deployments import starting"
BODY = """
def look(pid="self"):
    return sorted({os.getpriority(os.PRIO_PROCESS, int(thread)) for thread in os.listdir(f"/proc/{pid}/task")})

over = threading.Event()
def with_thread():
    threading.Thread(target=over.wait).start()

before = look()
with_thread()
with starting.starting():
    with_thread()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    while_starting, looks_for_garbage = look() + look(child.pid), gc.isenabled()
with_thread()
found = [before, while_starting, look() + look(child.pid), threading.active_count()]
print(json.dumps([*found, looks_for_garbage, gc.isenabled(), gc.get_freeze_count() > 1000]))
over.set()
child.communicate(b"\\n")
"""


def seen(prelude: str = "") -> list[object]:
    """What a process sees of itself and a child.

    Returns:
        Niceness of its threads at first; while it starts, and its child's; once it serves, and its child's; how many
        threads; whether garbage is looked for while it starts, and then; whether what it has loaded is left out.
    """
    return printed(prelude, BODY)


def printed(prelude: str, body: str) -> list[Any]:
    """The JSON that a process of its own prints."""
    script = f"{IMPORTS}\n{prelude}\n{body}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    found: list[Any] = json.loads(done.stdout)
    return found


def test_all_of_it_waits_while_it_starts_and_goes_first_once_it_serves_where_it_may() -> None:
    given = os.getpriority(os.PRIO_PROCESS, 0)
    loading, serving = (
        (given + starting.LOADING, given + starting.SERVING) if may_rise(-starting.SERVING) else (given, given)
    )
    assert seen() == [[given], [loading] * 2, [serving] * 2, 4, False, True, True]


def test_who_could_not_rise_again_does_not_wait_either() -> None:
    as_nobody = "os.geteuid() or (os.setgroups([]), os.setgid(65534), os.setuid(65534)); sys.executable = '/bin/cat'"
    given = os.getpriority(os.PRIO_PROCESS, 0)
    assert seen(as_nobody) == [[given], [given] * 2, [given] * 2, 4, False, True, True]


LEADING_BODY = """
over = threading.Event()
def niceness_of_new_thread(look):
    thread = threading.Thread(target=over.wait)
    thread.start()
    look()
    return os.getpriority(os.PRIO_PROCESS, thread.native_id)

looks = (starting.lead, lambda: None, starting.lead)
found = [niceness_of_new_thread(look) for look in looks]
print(json.dumps([*found, os.getpriority(os.PRIO_PROCESS, threading.get_native_id())]))
over.set()
"""

LIMITED = """
real = os.setpriority
def limited(which, who, niceness):
    if niceness < LIMIT:
        raise PermissionError
    real(which, who, niceness)
os.setpriority = limited
"""


def leading(prelude: str = "") -> list[int]:
    """Niceness of threads begun before a thread leads, behind it, and before it does so again; then its own."""
    return printed(prelude, LEADING_BODY)


def test_the_thread_that_leads_goes_before_the_others_of_its_process_where_it_may() -> None:
    given = os.getpriority(os.PRIO_PROCESS, 0)
    others = given + starting.SERVING if may_rise(-starting.SERVING) else given
    own = given + starting.LEADING if may_rise(-starting.LEADING) else others
    assert leading() == [others, own, others, own]


def test_a_thread_that_may_not_lead_goes_first_all_the_same() -> None:
    given = os.getpriority(os.PRIO_PROCESS, 0)
    each = given + starting.SERVING if may_rise(-starting.SERVING) else given
    assert leading(f"LIMIT = {given + starting.SERVING}\n{LIMITED}") == [each] * 4


def test_where_the_system_has_no_such_list_of_threads_nothing_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(starting, "_PROCESSES", tmp_path / "missing")
    before = os.getpriority(os.PRIO_PROCESS, 0)
    assert not starting.go_first()
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_a_system_that_refuses_for_whatever_reason_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "setpriority", refuse)
    assert not starting.go_first()


def test_all_threads_are_found_where_the_kernel_lists_no_children(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for thread in ("11", "12"):
        (tmp_path / "self/task" / thread).mkdir(parents=True)
    monkeypatch.setattr(starting, "_PROCESSES", tmp_path)
    found: list[int] = []
    monkeypatch.setattr(os, "setpriority", lambda which, thread, niceness: found.append(thread))
    assert starting.go_first()
    assert sorted(found) == [11, 12]


def test_a_release_imports_nothing_that_only_gateways_need():
    code = "import sys, deployments.model; print({'granian', 'httpx', 'sqlalchemy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "set()\n"
