"""An answer's explanation for people: the nodes that took part, each under the router that executed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ValidationError

from serve_app.cli.output import CommandError, say, say_table

_COLUMNS = (
    "node",
    "version",
    "device",
    "rows",
    "in batch",
    "begin ms",
    "ms",
    "waited ms",
    "queue ms",
    "compute ms",
    "notes",
)


class _Node(BaseModel):
    node: str
    version: str = ""
    device: str = ""
    placement: str = ""
    inside: str = ""
    rows: int
    batch_rows: int = 0
    begin_ms: float
    ms: float
    critical_ms: float
    queue_ms: float
    compute_ms: float | None = None
    cached: int = 0
    chosen: Mapping[str, int] = {}
    error: str = ""


class _Explanation(BaseModel):
    release: str
    queue_ms: float
    batch_ms: float
    compute_ms: float
    batch_rows: int
    nodes: Sequence[_Node]


def explained(request: Mapping[str, object]) -> Mapping[str, object]:
    """The V2 request, asking for an explanation."""
    given = request.get("parameters")
    return {**request, "parameters": {**(given if isinstance(given, Mapping) else {}), "explain": True}}


def say_explanation(text: str) -> None:
    """Write an answer's `explanation` parameter to stdout.

    Raises:
        CommandError: It is none.
    """
    try:
        told = _Explanation.model_validate_json(text)
    except ValidationError:
        raise CommandError("the server's answer has no explanation that this command can read") from None
    say_table(_COLUMNS, [_row(node, told.nodes) for node in told.nodes])
    say(
        f"{told.release}: queue {told.queue_ms:.3f} ms, batch {told.batch_ms:.3f} ms, compute {told.compute_ms:.3f} ms"
        f" of a batch of {told.batch_rows} rows"
    )


def _row(node: _Node, nodes: Sequence[_Node]) -> list[str]:
    times = (node.begin_ms, node.ms, node.critical_ms, node.queue_ms, node.compute_ms)
    name = "  " * _depth(node, nodes) + node.node
    where = ", ".join(dict.fromkeys(filter(None, (node.placement, node.device))))
    rows = [str(node.rows), str(node.batch_rows)]
    return [name, node.version, where, *rows, *("" if ms is None else f"{ms:.3f}" for ms in times), _said(node)]


def _depth(node: _Node, nodes: Sequence[_Node]) -> int:
    """How many routers it is inside of."""
    inside = {other.node: other.inside for other in nodes}
    depth, router = 0, node.inside
    while router in inside and depth < len(inside):
        depth, router = depth + 1, inside[router]
    return depth


def _said(node: _Node) -> str:
    chosen = [f"{rows} to {target}" for target, rows in node.chosen.items()]
    cached = [f"{node.cached} remembered"] if node.cached else []
    return ", ".join([*chosen, *cached, *([node.error] if node.error else [])])
