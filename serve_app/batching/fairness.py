"""Whose requests go next when not all can: tenants take turns by bytes, so that a big one does not crowd out others."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar


class Waits(Protocol):
    """A waiting request as far as its turn goes."""

    tenant: str
    nbytes: int
    rows: int


Request = TypeVar("Request", bound=Waits)


def in_turns(waiting: Iterable[Request]) -> Iterator[Request]:
    """The requests, each next one of the tenant that has had the fewest bytes; in their own order within a tenant.

    Fair queueing as in Demers et al., SIGCOMM 1989, over the requests of one block.
    """
    by_tenant: dict[str, list[Request]] = defaultdict(list)
    for request in waiting:
        by_tenant[request.tenant].append(request)
    if len(by_tenant) == 1:
        yield from next(iter(by_tenant.values()))
        return
    sent = dict.fromkeys(by_tenant, 0)
    queues = {tenant: deque(requests) for tenant, requests in by_tenant.items()}
    while queues:
        tenant = min(queues, key=sent.__getitem__)
        request = queues[tenant].popleft()
        if not queues[tenant]:
            del queues[tenant]
        sent[tenant] += request.nbytes
        yield request


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
