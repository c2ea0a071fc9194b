"""How a replica starts: behind those that answer requests already, and without looks for garbage.

A release takes seconds of CPU to be imported, loaded and warmed up. On a machine without a core to spare, the version
that still answers would be several times slower meanwhile (figures are in docs/benchmarks.md). Niceness is Linux's, and
only a process that may take it back makes itself wait: root, CAP_SYS_NICE, or a limit for `nice`. For all others, in
most containers for example, nothing changes.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STARTING, SERVING = 10, -5
_THREADS = Path("/proc/self/task")


@contextmanager
def starting() -> Iterator[None]:
    """Have the block go behind all that serve, and this process before all that start once the block is over.

    Garbage is not collected in it: what a replica imports stays, and to look through it again and again takes a sixth
    of the time to load a model of PyTorch or scikit-learn.
    """
    gc.disable()
    if go_first():
        _set(STARTING)
    try:
        yield
    finally:
        gc.enable()
        go_first()


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
