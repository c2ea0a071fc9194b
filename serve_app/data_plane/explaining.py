"""What an answer was made of, whether its release is a graph or one model."""

from __future__ import annotations

from serve_app.types import EntryResult, ReleaseInfo
from serve_app.visits import NodeVisit


def visits_of(result: EntryResult, info: ReleaseInfo, rows: int) -> tuple[NodeVisit, ...]:
    """The visits of a graph's nodes; a release without a graph is one node, of the model's name.

    Args:
        result: Without an error.
        info: Of the release that gave it.
        rows: Of the request.
    """
    if result.visits:
        return result.visits
    compute_ms, batch_rows = 1000 * result.timings.compute_s, result.timings.batch_rows
    model = NodeVisit(
        info.model,
        rows,
        0.0,
        compute_ms,
        batch_rows,
        compute_ms=compute_ms,
        kind="model",
        version=info.version,
        device=info.device,
    )
    return (model,)
