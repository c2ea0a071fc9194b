"""Whose requests go next when not all can: tenants take turns by bytes, so that a big one does not crowd out others."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable
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


class Turns(Generic[Request]):
    """Requests in the order in which they go, from one call to the next.

    The lowest level first, in it each next one of the tenant that has had the fewest bytes, and the earliest deadline
    first within a tenant. Fair queueing as in Demers et al., SIGCOMM 1989; who begins to wait
    has had as many as whose turn it is then.

    Args:
        waiting: Those that wait already.
        is_gone: Whether a request waits no more.
    """

    def __init__(self, waiting: Iterable[Request], is_gone: Callable[[Request], bool]) -> None:
        self._is_gone, self._numbers = is_gone, itertools.count()
        self._levels: dict[int, dict[str, list[tuple[float, int, Request]]]] = {}
        self._sent: dict[str, int] = {}
        self._turn = 0
        for request in waiting:
            self.add(request)

    def add(self, request: Request) -> None:
        """Have a request wait."""
        lines = self._levels.setdefault(request.priority, {})
        if request.tenant not in lines:
            lines[request.tenant] = []
            self._sent[request.tenant] = max(self._sent.get(request.tenant, 0), self._turn)
        heappush(lines[request.tenant], (request.deadline, next(self._numbers), request))

    def head(self) -> Request | None:
        """Whose turn it is; None if nobody waits."""
        for level in sorted(self._levels):
            lines = self._levels[level]
            while lines:
                tenant = min(lines, key=self._sent.__getitem__)
                line = lines[tenant]
                while line and self._is_gone(line[0][2]):
                    heappop(line)
                if line:
                    return line[0][2]
                del lines[tenant]
            del self._levels[level]
        return None

    def goes(self, request: Request) -> None:
        """Whose turn it was goes, and is gone from now on."""
        self._turn = self._sent[request.tenant]
        self._sent[request.tenant] += request.nbytes


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
