"""What a soak found, as a table and as `soak.json`."""

from __future__ import annotations

import math

import orjson
from rich.console import Group, RenderableType
from rich.table import Table

from load_tests.points import quantile
from load_tests.soak.memory import growth_by_process, growth_of
from load_tests.soak.soak import SoakResult

_SHOWN_PROCESSES = 5


def table(result: SoakResult) -> RenderableType:
    """Kinds of requests, memory and the verdict."""
    kinds = Table(title=f"soak, {result.plan.seconds:g} s, {result.plan.clients} clients")
    for column in ("request", "sent", "right", "refused", "left", "p50 ms", "p99 ms", "statuses"):
        kinds.add_column(column, justify="left" if column in ("request", "statuses") else "right")
    for kind, tally in result.ledger.tallies.items():
        latencies_ms = sorted(tally.latencies_ms)
        kinds.add_row(
            kind,
            *(f"{count:,}" for count in (tally.sent, tally.right, tally.refused, tally.left)),
            *("" if math.isnan(ms := quantile(latencies_ms, share)) else f"{ms:.1f}" for share in (0.5, 0.99)),
            ", ".join(f"{status}: {count:,}" for status, count in sorted(tally.statuses.items())),
        )
    return Group(kinds, _memory(result), *result.ledger.examples, *_verdict(result))


def document(result: SoakResult) -> bytes:
    """Everything as JSON."""
    whole = growth_of(result.memory)
    return orjson.dumps(
        {
            "seconds": result.plan.seconds,
            "clients": result.plan.clients,
            "seed": result.plan.seed,
            "requests": {
                kind.value: {
                    "sent": tally.sent,
                    "right": tally.right,
                    "refused": tally.refused,
                    "left": tally.left,
                    "statuses": {str(status): count for status, count in tally.statuses.items()},
                    "p50_ms": quantile(sorted(tally.latencies_ms), 0.5),
                    "p99_ms": quantile(sorted(tally.latencies_ms), 0.99),
                }
                for kind, tally in result.ledger.tallies.items()
            },
            "memory_growth": whole.share if whole else None,
            "memory": [(sample.at_s, sample.total) for sample in result.memory],
            "memory_by_process": growth_by_process(result.memory),
            "examples": result.ledger.examples,
            "violations": result.violations,
        },
        option=orjson.OPT_INDENT_2,
    )


def _memory(result: SoakResult) -> RenderableType:
    whole = growth_of(result.memory)
    if whole is None:
        return "memory: " + (
            "too few samples to tell" if result.memory else "not watched, the server's pids are not known"
        )
    shown = Table(title="PSS in MB, medians of the first and the last third after the warm-up")
    for column in ("process", "first", "last", "growth"):
        shown.add_column(column, justify="left" if column == "process" else "right")
    for growth in (whole, *growth_by_process(result.memory)[:_SHOWN_PROCESSES]):
        shown.add_row(
            growth.process, f"{growth.first / 2**20:,.1f}", f"{growth.last / 2**20:,.1f}", f"{growth.share:+.1%}"
        )
    return shown


def _verdict(result: SoakResult) -> list[str]:
    if violations := result.violations:
        return ["[bold red]failed[/]", *violations]
    return ["[bold green]passed[/]: every answer was right"]
