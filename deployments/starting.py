"""Who goes first on a machine whose CPUs are all in use, and what a replica leaves out of garbage collection.

A release takes seconds of CPU to be imported and loaded. On a machine without a core to spare, the version that still
answers would be several times slower meanwhile (figures are in docs/benchmarks.md). Niceness is Linux's, and only a
process that may take it back makes itself wait: root, CAP_SYS_NICE, or a limit for `nice`. For all others, in most
containers for example, nothing changes.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOADING, SERVING, LEADING = 5, -5, -15
"""Added to the niceness that Ray has given: a tenth of the CPU of what serves, three times of what is as given, nine
times of what serves."""

_GIVEN = os.getpriority(os.PRIO_PROCESS, 0)
_PROCESSES = Path("/proc")


@contextmanager
def starting() -> Iterator[None]:
    """Have the block go behind all that serve, and this process before all that start once the block is over.

    Garbage is not collected in it: what a replica imports stays, and to look through it again and again takes a sixth
    of the time to load a model of PyTorch or scikit-learn. Nor is what stays looked through later, while requests wait.
    """
    gc.disable()
    try:
        if go_first():
            _set(LOADING)
        yield
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()
        go_first()


def go_first() -> bool:
    """Have this process, its threads and its children go before what does not serve; gives whether it may."""
    if not (_PROCESSES / "self").is_dir():  # not Linux
        return False
    try:
        _set(SERVING)
    except OSError:
        return False
    return True


def lead() -> None:
    """As `go_first`, and the calling thread before the others: an event loop through which every request goes.

    A thread takes the niceness of the one that starts it, so this is to be called from time to time.
    """
    if go_first():
        with suppress(OSError):  # the limit for `nice` may lie between
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _GIVEN + LEADING)


def _set(more: int) -> None:
    """Set the niceness of all threads, until there is none that another one has started meanwhile."""
    known: set[int] = set()
    while new := set(_threads("self")) - known:
        for thread in new:
            with suppress(ProcessLookupError):  # it has just ended
                os.setpriority(os.PRIO_PROCESS, thread, _GIVEN + more)
        known |= new


def _threads(process: str) -> Iterator[int]:
    """The threads of a process and of all that it has started."""
    with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
        for thread in (_PROCESSES / process / "task").iterdir():
            yield int(thread.name)
            for child in _children(thread):
                yield from _threads(child)


def _children(thread: Path) -> list[str]:
    """The processes that a thread has started; none where the kernel does not list them."""
    try:
        return (thread / "children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
