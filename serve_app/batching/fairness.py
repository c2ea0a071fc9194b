"""Whose requests go next when not all can: tenants take turns by bytes, so that a big one does not crowd out others."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Generic, Protocol, TypeVar


class Waits(Protocol):
    """A waiting request as far as its turn goes."""

    tenant: str
    priority: int
    deadline: float
    nbytes: int
    rows: int


Request = TypeVar("Request", bound=Waits)


@dataclass(slots=True)
class _Line(Generic[Request]):
    """One tenant's requests of one level, as a heap, and the bytes that have gone."""

    sent: int
    heap: list[tuple[float, int, Request]] = field(default_factory=list)


@dataclass(slots=True)
class _Level(Generic[Request]):
    """The tenants' lines of one level, and how many bytes had gone of the one whose turn was last."""

    lines: dict[str, _Line[Request]] = field(default_factory=dict)
    turn: int = 0


class Turns(Generic[Request]):
    """Requests in the order in which they go, from one call to the next.

    The lowest level first, in it each next one of the tenant that has had the fewest bytes, and the earliest deadline
    first within a tenant. Fair queueing as in Demers et al., SIGCOMM 1989: who begins to wait has had as many as whose
    turn it is then. Nothing is kept of tenants that do not wait.

    Args:
        waiting: Those that wait already.
        is_gone: Whether a request waits no more.
    """

    def __init__(self, waiting: Iterable[Request], is_gone: Callable[[Request], bool]) -> None:
        self._is_gone, self._numbers = is_gone, itertools.count()
        self._levels: dict[int, _Level[Request]] = {}
        for request in waiting:
            self.add(request)

    def add(self, request: Request) -> None:
        """Have a request wait."""
        level = self._levels.setdefault(request.priority, _Level())
        line = level.lines.setdefault(request.tenant, _Line(level.turn))
        heappush(line.heap, (request.deadline, next(self._numbers), request))

    def head(self) -> Request | None:
        """Whose turn it is; None if nobody waits."""
        for number in sorted(self._levels):
            lines = self._levels[number].lines
            while lines:
                tenant, line = min(lines.items(), key=_bytes_sent)
                while line.heap and self._is_gone(line.heap[0][2]):
                    heappop(line.heap)
                if line.heap:
                    return line.heap[0][2]
                del lines[tenant]
            del self._levels[number]
        return None

    def goes(self, request: Request) -> None:
        """Whose turn it was goes, and is gone from now on."""
        level = self._levels[request.priority]
        line = level.lines[request.tenant]
        level.turn = line.sent
        line.sent += request.nbytes


def _bytes_sent(line: tuple[str, _Line[Request]]) -> int:
    return line[1].sent


def crowding_out(waiting: Iterable[Request], tenant: str, rows: int) -> list[Request]:
    """Which requests give way to one of `rows` by `tenant` when the queue is full; empty if it must be refused itself.

    The newest of the tenant that holds the most rows (longest queue drop: Suter et al., INFOCOM 1998), as long as that
    one then still holds at least as many as the newcomer's tenant would.
    """
    held: dict[str, int] = defaultdict(int)
    by_tenant: dict[str, list[Request]] = defaultdict(list)
    for request in waiting:
        held[request.tenant] += request.rows
        by_tenant[request.tenant].append(request)
    largest = max(held, key=held.__getitem__, default=tenant)
    giving_way: list[Request] = []
    freed = 0
    while freed < rows and largest != tenant and by_tenant[largest]:
        freed += by_tenant[largest][-1].rows
        giving_way.append(by_tenant[largest].pop())
    if freed < rows or held[largest] - freed < held.get(tenant, 0) + rows:
        return []
    return giving_way
