"""The command: scenarios one after the other, each with a server of its own, and a table of what they claim."""

from __future__ import annotations

import logging
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from load_tests.releases import canaries, kills, outages, refusals, shadows, switching, users
from load_tests.releases.claims import Claim, table
from load_tests.target import HostUnavailable

SCENARIOS: Mapping[str, Callable[[Path], list[Claim]]] = {
    "blue-green": switching.blue_green_digits,
    "blue-green-ensemble": switching.blue_green_ensemble,
    "killed-apply": switching.killed_apply,
    "canary-wrong": canaries.wrong_on_some,
    "canary-raising": canaries.raises_on_some,
    "canary-slow": canaries.slower,
    "canary-sound": canaries.sound,
    "never-ready": refusals.never_ready,
    "shadow": shadows.shadow,
    "controller-killed": outages.controller_killed,
    "database-locked": outages.database_locked,
    "postgres-stopped": outages.postgres_stopped,
    "gateway-killed": outages.gateway_killed,
    "only-replica-killed": kills.only_replica_killed,
    "sticky-users": users.sticky_users,
}

app = typer.Typer(pretty_exceptions_show_locals=False, add_completion=False)


@app.command()
def releases(
    scenarios: Annotated[list[str] | None, typer.Argument(help=f"Of: {', '.join(SCENARIOS)}; all by default.")] = None,
) -> None:
    """Release, break and kill versions under load, counting every request; exit 1 if a claim does not hold."""
    signal.signal(signal.SIGTERM, _end)
    logging.basicConfig(format="%(asctime)s %(message)s")
    logging.getLogger("load_tests.releases").setLevel(logging.INFO)
    chosen = scenarios or list(SCENARIOS)
    if unknown := [name for name in chosen if name not in SCENARIOS]:
        raise typer.BadParameter(f"there is no scenario {unknown[0]!r}; there are: {', '.join(SCENARIOS)}")
    console = Console(width=None if sys.stdout.isatty() else 220)
    found = run(chosen, console)
    if len(chosen) > 1:
        console.print(table(found.items()))
    claims = [claim for claims in found.values() for claim in claims]
    false = sum(not claim.is_true for claim in claims)
    console.print(f"{len(claims) - false} of {len(claims)} claims hold")
    raise typer.Exit(1 if false else 0)


def run(names: list[str], console: Console) -> dict[str, list[Claim]]:
    """What each scenario claims, in the order of their names; each is shown as it ends."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    found: dict[str, list[Claim]] = {}
    with Progress(*columns, console=console, refresh_per_second=1) as progress:
        for number, name in enumerate(names, 1):
            task = progress.add_task(f"{number} of {len(names)}: {name}", total=None)
            found[name] = claims_of(name)
            progress.remove_task(task)
            console.print(table([(name, found[name])]))
    return found


def claims_of(name: str) -> list[Claim]:
    """What one scenario claims; a server that cannot be run is a claim that does not hold."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
        try:
            claims = SCENARIOS[name](Path(folder))
        except HostUnavailable as error:
            claims = [Claim("its server runs", str(error), False)]
    return [*claims, Claim("it came to its end", f"after {time.perf_counter() - began:.0f} s", True)]


def _end(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does: servers that were started are stopped."""
    sys.exit(128 + number)
