"""How long each node of a graph takes, from the batches that measured the graph."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping

from serve_app.batching.executing import Visit


def node_times(visits: Iterable[Visit]) -> Mapping[str, Mapping[int, float]]:
    """Median milliseconds by node and the rows that it was given, ascending; answers that it remembered are left out.

    A router's time has those of the nodes that it executed in it.
    """
    seconds: dict[str, dict[int, list[float]]] = {}
    for visit in visits:
        if not visit.cached:
            seconds.setdefault(visit.node, {}).setdefault(visit.rows, []).append(visit.seconds)
    return {
        node: {rows: round(1000 * statistics.median(taken), 4) for rows, taken in sorted(by_rows.items())}
        for node, by_rows in seconds.items()
    }
