"""Processes that carry a marker in their environment, and how all of them are ended.

A child inherits its parent's environment, so a marker given to one process is carried by all that come from it, also by
those (HAProxy, the raylet) that live on after it, have a session of their own or hang under init.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import psutil

_SCAN_INTERVAL_S = 0.1


def marked_processes(name: str, value: str) -> list[psutil.Process]:
    """Every live process, but this one, whose environment has `name=value`, and all of their descendants."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if process.pid != os.getpid() and _carries(process, name, value):
            for member in (process, *_descendants(process)):
                found.setdefault(member.pid, member)
    return [process for process in found.values() if _is_alive(process)]


def end_marked(name: str, value: str, terminate_s: float, kill_s: float) -> tuple[int, list[psutil.Process]]:
    """End every marked process: SIGTERM, and SIGKILL to those still there after `terminate_s` seconds.

    Returns:
        How many processes were ended, and those that were still there `kill_s` seconds after the first SIGKILL.
    """
    seen: set[int] = set()
    left = _signal_until_gone(name, value, psutil.Process.terminate, terminate_s, seen)
    if left:
        left = _signal_until_gone(name, value, psutil.Process.kill, kill_s, seen)
    return len(seen) - len(left), left


def _signal_until_gone(
    name: str, value: str, send: Callable[[psutil.Process], None], wait_s: float, seen: set[int]
) -> list[psutil.Process]:
    """Signal each process once, also those that appear meanwhile; returns those left when the time is over."""
    signalled: set[int] = set()
    deadline = time.perf_counter() + wait_s
    while alive := marked_processes(name, value):
        for process in alive:
            if process.pid not in signalled:
                signalled.add(process.pid)
                _send(process, send)
        if time.perf_counter() >= deadline:
            break
        psutil.wait_procs(alive, timeout=_SCAN_INTERVAL_S)
    seen |= signalled
    return alive


def _send(process: psutil.Process, send: Callable[[psutil.Process], None]) -> None:
    try:
        send(process)
    except psutil.NoSuchProcess:
        return


def _carries(process: psutil.Process, name: str, value: str) -> bool:
    try:
        return process.environ().get(name) == value
    except (psutil.Error, OSError):  # gone, a zombie, or another user's
        return False


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
