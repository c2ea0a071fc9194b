"""`python -m load_tests bench|load|open|soak`; without a command, the quick benchmark."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import typer

from load_tests.bench_command import bench
from load_tests.load_command import load, open_loop
from load_tests.soak.command import soak

app = typer.Typer(no_args_is_help=False, pretty_exceptions_show_locals=False, add_completion=False)
app.command("bench")(bench)
app.command("load")(load)
app.command("open")(open_loop)
app.command("soak")(soak)


@app.callback(invoke_without_command=True)
def main(context: typer.Context) -> None:
    """Load on servers: benchmarks with a report, single loads, and a soak."""
    signal.signal(signal.SIGTERM, _end)
    if context.invoked_subcommand is None:
        bench(quick=True)


def _end(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does: servers that were started are stopped, what was measured is reported."""
    sys.exit(128 + number)
