"""What the nodes of a graph did for one request, and what of it the answer waited for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

CANCELLED = "cancelled"
_SAME_MS = 1e-6  # readings of one clock that differ by less are the same: sums of floats are not exact


@dataclass(frozen=True, slots=True)
class NodeVisit:
    """One node's part in the answer to one request.

    Attributes:
        node: Its name; of a release without a graph the model's.
        rows: Rows of the request that it was given.
        begin_ms: From when the execution of the batch began. The batches of a request in several are told as if they
            had been executed one after the other.
        ms: Until it had answered; a router's contains those of the nodes that it executed.
        batch_rows: Rows that were executed together, other requests' too.
        queue_ms: Waiting on replicas of its own.
        compute_ms: Computing; of a router without the nodes that it executed; None where a remote server does not say.
        kind: As in the graph's declaration.
        version: Whose version it is, if it is a model.
        device: Where that runs.
        placement: `fused` in the release's process, on replicas of its `own`, or `remote`.
        inside: The router that executed it; empty if none did.
        cached: Rows whose answers it remembered.
        chosen: Of a router: rows of the request by the node that they went to.
        error: Why it gave no answer: the name of the error, or `cancelled`; empty if it gave one.
    """

    node: str
    rows: int
    begin_ms: float
    ms: float
    batch_rows: int
    queue_ms: float = 0.0
    compute_ms: float | None = None
    kind: str = ""
    version: str = ""
    device: str = ""
    placement: str = ""
    inside: str = ""
    cached: int = 0
    chosen: Mapping[str, int] = field(default_factory=dict)
    error: str = ""

    @property
    def end_ms(self) -> float:
        """When it had answered, from when the execution began."""
        return self.begin_ms + self.ms


class Share(NamedTuple):
    """A visit, and the time in which the answer waited for it and for nothing inside of it."""

    visit: NodeVisit
    ms: float


def critical_path(visits: Sequence[NodeVisit]) -> tuple[Share, ...]:
    """The visits that an answer waited for, by their begin.

    Back from the end, what ended last is what was waited for; a router's time is divided in the same way among the
    nodes that it executed, and the rest is its own. So no two shares overlap, and together they take at most the time
    from the first visit's begin to the last one's end.

    Args:
        visits: Of one request, in any order.
    """
    names = {visit.node for visit in visits}
    outermost = [visit for visit in visits if visit.inside not in names]
    return tuple(reversed(_back(outermost, visits, float("inf"))))


def _back(among: Sequence[NodeVisit], visits: Sequence[NodeVisit], until_ms: float) -> list[Share]:
    """The critical path through some visits that ended by a time, the last one first."""
    shares: list[Share] = []
    for visit in sorted(among, key=lambda one: (one.end_ms, one.ms), reverse=True):
        if visit.end_ms <= until_ms + _SAME_MS:
            inner = _back(_inside(visit, visits), visits, min(visit.end_ms, until_ms))
            whole_ms = min(visit.ms, until_ms - visit.begin_ms)
            shares += [*inner, Share(visit, max(0.0, whole_ms - sum(share.ms for share in inner)))]
            until_ms = visit.begin_ms
    return shares


def _inside(router: NodeVisit, visits: Sequence[NodeVisit]) -> list[NodeVisit]:
    """What a router executed; without what it cancelled because another one had answered, which it did not wait for."""
    return [
        visit
        for visit in visits
        if visit.inside == router.node
        and router.begin_ms - _SAME_MS <= visit.begin_ms
        and visit.end_ms <= router.end_ms + _SAME_MS
        and not (visit.error == CANCELLED and router.chosen)
    ]
