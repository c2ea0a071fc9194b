"""The `soak` command: minutes or hours of mixed load, every answer checked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from load_tests.accounting import pss_by_process
from load_tests.models import BENCH, ROOT
from load_tests.soak.oracle import Oracle, oracle_of
from load_tests.soak.production import is_ready, serving
from load_tests.soak.report import document, table
from load_tests.soak.soak import SoakPlan, SoakResult
from load_tests.soak.soak import soak as run_soak
from load_tests.target import HostUnavailable

RESULT = BENCH / "soak.json"

ReadMemory = Callable[[], Mapping[str, int]]


def soak(
    minutes: Annotated[float, typer.Option(min=0.1, help="How long.")] = 10.0,
    clients: Annotated[int, typer.Option(min=1, help="How many send at a time.")] = 16,
    seed: Annotated[int, typer.Option(help="Of the mix of requests.")] = 1,
    config: Annotated[Path, typer.Option(help="The serve file; its releases of the samples are checked.")] = ROOT
    / "configs/prod.yaml",
    url: Annotated[str, typer.Option(help="A server of that file that runs; without it one is started.")] = "",
    pid: Annotated[list[int] | None, typer.Option(help="Process tree whose memory is watched, with --url.")] = None,
) -> None:
    """Mix sizes, priorities, short timeouts, cancels and bad requests; exit 1 on any wrong answer or leak."""
    if pid and not url:
        raise typer.BadParameter("--pid goes with --url: the memory of a server that is started is watched anyway")
    console, plan = Console(), SoakPlan(60 * minutes, clients, seed)
    oracle = oracle_of(config)
    try:
        with _server(url, tuple(pid or ()), config) as (base, read_memory):
            result = _run(base, oracle, plan, read_memory, console)
    except HostUnavailable as error:
        raise typer.BadParameter(str(error)) from None
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_bytes(document(result))
    console.print(table(result), f"all of it is in {RESULT}")
    raise typer.Exit(1 if result.violations else 0)


@contextmanager
def _server(url: str, pids: tuple[int, ...], config: Path) -> Iterator[tuple[str, ReadMemory | None]]:
    """The server's URL and what reads its memory, if that can be known."""
    if not url:
        with serving(config) as production:
            yield production.url, production.memory
    elif is_ready(base := url.rstrip("/")):
        yield base, partial(pss_by_process, pids) if pids else None
    else:
        raise HostUnavailable(f"nobody is ready at {url}")


def _run(base: str, oracle: Oracle, plan: SoakPlan, read_memory: ReadMemory | None, console: Console) -> SoakResult:
    with Progress(console=console, refresh_per_second=1) as progress:
        task = progress.add_task("soak", total=plan.seconds)
        return asyncio.run(
            run_soak(base, oracle, plan, read_memory, lambda passed_s: progress.update(task, completed=passed_s))
        )
