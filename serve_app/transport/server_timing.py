"""The standard `Server-Timing` header: where an answer's time went."""

from __future__ import annotations

from serve_app.protocol.explanation import floored_ms
from serve_app.types import InferenceResponse
from serve_app.visits import NodeVisit, critical_path

MAX_NODES = 40  # the longest; all headers of an answer together have 8 kB at most proxies
MAX_DESCRIPTION = 80
_STAGES = "gateway;dur=%.3f, queue;dur=%.3f, batch;dur=%.3f, compute;dur=%.3f"  # milliseconds


def server_timing(response: InferenceResponse, seconds: float) -> str:
    """The stages of an answer; of one that is explained also the nodes that were waited for, in order.

    Those times do not overlap: their sum is at most that of `compute`.

    Args:
        response: The answer.
        seconds: All that it took in the gateway.
    """
    timings = response.timings
    queue, batch, compute = response.queued_s + timings.queue_s, timings.batch_s, timings.compute_s
    gateway = max(0.0, seconds - queue - batch - compute)
    stages = _STAGES % (1000 * gateway, 1000 * queue, 1000 * batch, 1000 * compute)
    return ", ".join((stages, *_nodes(response))) if response.visits else stages


def _nodes(response: InferenceResponse) -> list[str]:
    waited_ms: dict[str, float] = {}
    about: dict[str, NodeVisit] = {}
    for visit, ms in critical_path(response.visits):
        waited_ms[visit.node] = waited_ms.get(visit.node, 0.0) + ms
        about.setdefault(visit.node, visit)
    longest = {*sorted(waited_ms, key=lambda node: -waited_ms[node])[:MAX_NODES]}
    return [
        f'node-{node};dur={floored_ms(ms):.3f};desc="{_described(about[node])}"'
        for node, ms in waited_ms.items()
        if node in longest
    ]


def _described(visit: NodeVisit) -> str:
    """What a quoted string of a header may hold."""
    version = visit.version.encode("ascii", "replace").decode()
    printable = "".join(char if char.isprintable() and char not in '\\"' else "?" for char in version)
    rows = f"{visit.rows} of {visit.batch_rows} rows"
    return f"{printable[:MAX_DESCRIPTION]}, {rows}" if version else rows
