"""An answer's explanation: the nodes of a graph that took part in it, what they chose and where the time went."""

from __future__ import annotations

import math

import orjson

from serve_app.types import InferenceResponse, release_name
from serve_app.visits import NodeVisit, critical_path


def said_explanation(response: InferenceResponse) -> str:
    """The answer's `explanation` parameter, which is JSON: V2's parameters are scalars.

    Its `nodes` are the visits in the order of their begin. `critical_ms` of one is how long the answer waited for it
    and for nothing inside of it; together they are at most `compute_ms`, as times are rounded down.
    """
    timings = response.timings
    waited_ms = {id(share.visit): share.ms for share in critical_path(response.visits)}
    nodes = sorted(response.visits, key=lambda visit: visit.begin_ms)
    document = {
        "release": release_name(response.model_name, response.model_version),
        "queue_ms": floored_ms(1000 * (response.queued_s + timings.queue_s)),
        "batch_ms": floored_ms(1000 * timings.batch_s),
        "compute_ms": floored_ms(1000 * timings.compute_s),
        "batch_rows": timings.batch_rows,
        "nodes": [_node(visit, waited_ms.get(id(visit), 0.0)) for visit in nodes],
    }
    return orjson.dumps(document).decode()


def floored_ms(ms: float) -> float:
    """Milliseconds rounded down to microseconds, so that a sum of them is never over that of the exact ones."""
    return math.floor(1000 * ms) / 1000


def _node(visit: NodeVisit, critical_ms: float) -> dict[str, object]:
    """What is known of a visit; what there is nothing to say of is left out."""
    told = {
        "node": visit.node,
        "kind": visit.kind,
        "version": visit.version,
        "device": visit.device,
        "placement": visit.placement,
        "inside": visit.inside,
        "rows": visit.rows,
        "batch_rows": visit.batch_rows,
        "begin_ms": floored_ms(visit.begin_ms),
        "ms": floored_ms(visit.ms),
        "critical_ms": floored_ms(critical_ms),
        "queue_ms": floored_ms(visit.queue_ms),
        "compute_ms": None if visit.compute_ms is None else floored_ms(visit.compute_ms),
        "cached": visit.cached,
        "chosen": dict(visit.chosen),
        "error": visit.error,
    }
    return {name: value for name, value in told.items() if value or isinstance(value, float)}
