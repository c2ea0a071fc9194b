"""Who goes first where processes compete for a CPU: replicas that answer requests before those that only start.

A release takes seconds of CPU to be imported, loaded and warmed up. On a machine without a core to spare, the version
that still answers would be several times slower meanwhile (figures are in docs/benchmarks.md). Niceness is Linux's, and
only a process that may take it back makes itself wait: root, CAP_SYS_NICE, or a limit for `nice`. For all others, in
most containers for example, nothing changes.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

STARTING, SERVING = 10, -5
_THREADS = Path("/proc/self/task")


def wait_for_others() -> None:
    """Have this process go behind all that serve, until it is ready and calls `go_first`."""
    if go_first():
        _set(STARTING)


def go_first() -> bool:
    """Have every thread of this process, and those that they start, go before what does not serve; gives if it may."""
    if not _THREADS.is_dir():  # not Linux
        return False
    try:
        _set(SERVING)
    except PermissionError:
        return False
    return True


def _set(niceness: int) -> None:
    for thread in _THREADS.iterdir():
        with suppress(ProcessLookupError):  # it has just ended
            os.setpriority(os.PRIO_PROCESS, int(thread.name), niceness)
