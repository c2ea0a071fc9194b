"""From what was done with a batch to what was done for each of its requests that asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from serve_app.batching.executing import About, Executing, Visit
from serve_app.types import Array
from serve_app.visits import NodeVisit

_UNKNOWN = About()


def explained(batch: Executing, begin_s: float) -> dict[int, tuple[NodeVisit, ...]]:
    """The visits of the nodes that were given rows of an owner, for the owners that want to know, by their index.

    Args:
        batch: Has been executed.
        begin_s: Clock reading when that began.
    """
    found: dict[int, tuple[NodeVisit, ...]] = {}
    if not batch.visits:
        return found
    start = 0
    for index, (entry, rows) in enumerate(batch.owners):
        if entry.explain:
            visits = [visit for visit in batch.visits if _own(visit, start, rows)[1]]
            found[index] = tuple(_of_rows(batch, visit, _own(visit, start, rows), begin_s) for visit in visits)
        start += rows
    return found


Own = tuple["slice | Array", int]
"""Which of a visit's rows are a request's, and how many these are."""


def _own(visit: Visit, start: int, rows: int) -> Own:
    if visit.places is None:
        return slice(start, start + rows), rows
    own: Array = (visit.places >= start) & (visit.places < start + rows)
    return own, int(own.sum())


def _of_rows(batch: Executing, visit: Visit, own: Own, begin_s: float) -> NodeVisit:
    about, timings = batch.about.get(visit.node, _UNKNOWN), visit.timings
    compute_s = None
    if timings is not None:
        compute_s = timings.compute_s
    elif about.placement not in ("own", "remote"):
        compute_s = visit.seconds - _covered_s(visit, _inside(batch, visit))
    return NodeVisit(
        visit.node,
        own[1],
        1000 * (visit.begin_s - begin_s),
        1000 * visit.seconds,
        visit.rows - _remembered(visit, slice(None)) if timings is None else timings.batch_rows,
        0.0 if timings is None else 1000 * timings.queue_s,
        None if compute_s is None else 1000 * compute_s,
        about.kind,
        about.version,
        about.device,
        about.placement,
        about.inside,
        _remembered(visit, own[0]),
        {} if visit.chosen is None else dict(Counter(visit.chosen[own[0]].tolist())),
        visit.error,
    )


def _remembered(visit: Visit, rows: slice | Array) -> int:
    return 0 if visit.cached is None else int(visit.cached[rows].sum())


def _inside(batch: Executing, router: Visit) -> list[Visit]:
    """What a router executed, for whomever."""
    end_s = router.begin_s + router.seconds
    return [
        visit
        for visit in batch.visits
        if batch.about.get(visit.node, _UNKNOWN).inside == router.node and router.begin_s <= visit.begin_s <= end_s
    ]


def _covered_s(router: Visit, inside: Iterable[Visit]) -> float:
    """Seconds of a router in which something that it executed was under way."""
    covered_s, at, end_s = 0.0, router.begin_s, router.begin_s + router.seconds
    for visit in sorted(inside, key=lambda one: one.begin_s):
        until = min(visit.begin_s + visit.seconds, end_s)
        covered_s += max(0.0, until - max(at, visit.begin_s))
        at = max(at, until)
    return covered_s
