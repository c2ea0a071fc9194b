"""What a load cost a server: CPU time and memory of its process trees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

_RAY = "ray::"
_REPLICA = f"{_RAY}ServeReplica:"  # Serve's title of a replica's process: this, its application, its deployment


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a load.

    Attributes:
        cpu_s: User and system time of all processes, also of those that ended and were waited for by their parents.
        pss_bytes: Memory at the end of the load; what processes share counts once.
        processes: How many there were at the end.
    """

    cpu_s: float
    pss_bytes: int
    processes: int

    def cpu_s_per_1000(self, requests: int) -> float:
        """CPU seconds for every 1,000 requests; NaN if there were none."""
        return 1000 * self.cpu_s / requests if requests else float("nan")


class Account:
    """Opened before a load, closed after it.

    The kernel adds the time of a child that ended to its parent's, so the sum over a tree, with each process's own
    ended children, loses nothing of what was waited for. A process whose parent ended leaves the tree; those seen at
    the start are therefore followed by themselves.

    Args:
        pids: Roots of the trees.
        applications: Of Serve, whose replicas count; those of others, which idle beside them, do not. Empty: all do.
    """

    def __init__(self, pids: Sequence[int], applications: Sequence[str] = ()) -> None:
        self._pids, self._applications = pids, applications
        self._first = self._counted()
        self._started_s = sum(_cpu_s(process) for process in self._first)

    def close(self) -> Cost:
        """The cost since the account was opened."""
        processes = {*self._first, *self._counted()}
        cpu_s = sum(_cpu_s(process) for process in processes) - self._started_s
        sizes = [size for process in processes if (size := _pss_bytes(process))]
        return Cost(max(0.0, cpu_s), sum(sizes), len(sizes))

    def _counted(self) -> set[psutil.Process]:
        tree = _tree(self._pids)
        return {process for process in tree if not self._is_neighbour(process)} if self._applications else tree

    def _is_neighbour(self, process: psutil.Process) -> bool:
        """Whether it is a replica of another application."""
        _, is_replica, rest = _title(process).partition(_REPLICA)
        return bool(is_replica) and rest.partition(":")[0] not in self._applications


def pss_by_process(pids: Sequence[int]) -> dict[str, int]:
    """Memory in bytes of each process in the trees of `pids`, by `{pid} {title}`."""
    sizes = {}
    for process in _tree(pids):
        if size := _pss_bytes(process):
            sizes[f"{process.pid} {_title(process)}"] = size
    return sizes


def cpu_s_by_process(pids: Sequence[int]) -> dict[str, float]:
    """CPU seconds so far of each process in the trees of `pids`, by `{pid} {title}`."""
    return {f"{process.pid} {_title(process)}": _cpu_s(process) for process in _tree(pids)}


def cpu_s_by_thread(pids: Sequence[int]) -> dict[str, dict[int, float]]:
    """CPU seconds so far of each thread, by its id, of each process in the trees of `pids`, as `cpu_s_by_process`."""
    found = {}
    for process in _tree(pids):
        with suppress(psutil.NoSuchProcess):
            threads = {one.id: one.user_time + one.system_time for one in process.threads()}
            found[f"{process.pid} {_title(process)}"] = threads
    return found


def _tree(pids: Sequence[int]) -> set[psutil.Process]:
    """The processes and all their descendants; a pid may be in several trees."""
    found: set[psutil.Process] = set()
    for root in _alive(pids):
        try:
            found |= {root, *root.children(recursive=True)}
        except psutil.NoSuchProcess:
            continue
    return found


def _alive(pids: Sequence[int]) -> Iterator[psutil.Process]:
    for pid in pids:
        try:
            yield psutil.Process(pid)
        except psutil.NoSuchProcess:
            continue


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    # Linux only: elsewhere the time of children that ended is lost
    return times.user + times.system + getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)


def _pss_bytes(process: psutil.Process) -> int:
    """0 for a process that ended."""
    try:
        memory = process.memory_full_info()
    except psutil.NoSuchProcess:  # psutil.ZombieProcess is one, too
        return 0
    size: int = getattr(memory, "pss", memory.uss)  # other systems than Linux have no share of common pages
    return size


def _title(process: psutil.Process) -> str:
    """Its command line, or what it calls itself; Ray adds to that what it does just now, which is left out."""
    try:
        line = " ".join(process.cmdline()).strip()
        if not line.startswith(_RAY):
            return line[:60] or process.name()
        head, colon, last = line.rpartition(":")  # names of applications may have dots
        return head + colon + last.partition(".")[0]
    except psutil.NoSuchProcess:
        return "(ended)"
