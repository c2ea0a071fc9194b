"""The controller, its database or a gateway replica goes away in the middle of a canary, which goes on afterwards."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from load_tests.models import ROOT
from load_tests.releases import files, scene
from load_tests.releases.candidates import write_sound
from load_tests.releases.claims import Claim, all_right, nothing_lost
from load_tests.releases.files import DIGITS, ReleaseFile
from load_tests.releases.load import Load, under_load
from load_tests.releases.outcomes import between, share_of
from load_tests.releases.running import Command, Running, StatusWatch, serving
from load_tests.releases.truth import labels_of

AWAY_S = 30.0
STEPS = {20.0: 8.0, 50.0: 12.0}
GATE = {"metric": "error_rate", "max": 0.05, "min_requests": 50}
CONTROLLER_BACK_S = 20.0
VERSION = "sound"

Harm = Callable[[Running, Load], list[Claim]]
"""Does the harm while a canary is in its first step; gives what it claims itself."""


def controller_killed(folder: Path) -> list[Claim]:
    """SIGKILL to the controller."""
    return _through(folder, _first_file(folder), _kill_controller)


def database_locked(folder: Path) -> list[Claim]:
    """Another process has the SQLite file for itself for 30 s."""

    def harm(running: Running, load: Load) -> list[Claim]:
        return _without_database(running, load, _exclusively(folder / "state.db"))

    return _through(folder, _first_file(folder), harm)


def postgres_stopped(folder: Path) -> list[Claim]:
    """A real PostgreSQL breaks off, and is back after 30 s."""
    sys.path.append(str(ROOT / "tests"))  # its support package starts the server
    from support import postgres  # type: ignore[import-not-found]  # noqa: PLC0415

    programs = postgres.programs()
    if programs is None:
        return [Claim("PostgreSQL can be run here", "there is none, and none can be installed", False)]
    server = postgres.Postgres(programs)
    server.start()
    os.environ["SHOWS_STATE_PASSWORD"] = postgres.PASSWORD
    try:
        first = _on_postgres(_first_file(folder), server.url(password=""))
        return _through(folder, first, lambda running, load: _without_database(running, load, _stopped(server)))
    finally:
        server.remove()


def gateway_killed(folder: Path) -> list[Claim]:
    """SIGKILL to one of two gateway replicas."""
    return _through(folder, _first_file(folder, gateways=2), _kill_gateway)


def _first_file(folder: Path, gateways: int = 1) -> ReleaseFile:
    return scene.with_digits(folder, gateways)


def _on_postgres(file: ReleaseFile, url: str) -> ReleaseFile:
    releases = {"state_url": url, "state_password_env": "SHOWS_STATE_PASSWORD"}
    return replace(file, gateway={**file.gateway, "args": {**file.gateway["args"], "releases": releases}})


def _through(folder: Path, first: ReleaseFile, harm: Harm) -> list[Claim]:
    """A canary of a sound version, with harm done in its first step."""
    application = files.release(DIGITS, VERSION, write_sound(folder / VERSION))
    rollout = files.canary(STEPS, GATE, keep_for_s=300)
    then = first.without("digits-v1").serving(application).routed(DIGITS, {VERSION: 100}, rollout=rollout)
    with serving(first, folder, folder.name) as running, under_load(running.sending(DIGITS)) as load:
        load.wait(scene.WARM_UP_S)
        apply = running.applying(then)
        scene.comes(lambda: running.rollout(DIGITS).get("phase") == "running", 120)
        begun = running.rollout(DIGITS)
        harmed_s = time.perf_counter()
        claims = harm(running, load)
        apply.wait()
        ended = (running.rollout(DIGITS), running.status())
        load.wait(scene.SETTLED_S)
    right = labels_of(files.digits("v1"))
    return [
        nothing_lost(load),
        all_right(load.outcomes, {"v1": right, VERSION: right}),
        _went_on(load, harmed_s),
        *claims,
        _ended(apply, begun, ended),
        _kept(ended[1]),
    ]


def _went_on(load: Load, harmed_s: float) -> Claim:
    seconds = [len(between(load.outcomes, harmed_s + second, harmed_s + second + 1)) for second in range(10)]
    return Claim("traffic goes on", f"requests due in each of the next seconds: {seconds}", min(seconds) > 0)


def _ended(apply: Command, begun: dict[str, Any], ended: tuple[dict[str, Any], dict[str, Any]]) -> Claim:
    rollout, _ = ended
    is_same = rollout.get("id") == begun.get("id")
    figures = (
        f"{'the same' if is_same else 'another'} rollout {rollout.get('phase')} {rollout.get('reason', '')}; apply "
        f"exit {apply.process.returncode}{'' if apply.process.returncode == 0 else ': ' + apply.output[-300:]}"
    )
    is_right = is_same and rollout.get("phase") == "succeeded" and apply.process.returncode == 0
    return Claim("the rollout and apply end as if nothing had been", figures, is_right)


def _kept(status: dict[str, Any]) -> Claim:
    kinds = [event["kind"] for event in reversed(status.get("events", ())) if event["model"] == DIGITS]
    wanted = ["rollout_started", "step", "step", "succeeded"]
    left = iter(kinds)
    return Claim("each of its events is kept", ", ".join(kinds), all(kind in left for kind in wanted))


def _kill_controller(running: Running, load: Load) -> list[Claim]:
    before = share_of(load.outcomes[-200:], VERSION)
    pid = running.kill("gateway", "Releases")
    killed_s = time.perf_counter()
    scene.comes(lambda: not running.status(), 5)
    is_back = scene.comes(
        lambda: running.pids("gateway", "Releases") not in ([], [pid]) and bool(running.model(DIGITS))
    )
    seconds = time.perf_counter() - killed_s
    share = share_of(between(load.outcomes, killed_s), VERSION)
    return [
        Claim("the controller is back", f"after {seconds:.1f} s", is_back and seconds <= CONTROLLER_BACK_S),
        Claim(
            "gateways keep the last table meanwhile", f"share of {VERSION} {before:.0%}, then {share:.0%}", share > 0.05
        ),
    ]


def _kill_gateway(running: Running, load: Load) -> list[Claim]:
    pids = running.pids("gateway", "Gateway")
    killed = running.kill("gateway", "Gateway")
    is_back = scene.comes(lambda: len(set(running.pids("gateway", "Gateway")) - {killed}) == len(pids), 90)
    load.wait(scene.SETTLED_S)
    figures = f"{pids} before, {running.pids('gateway', 'Gateway')} after {killed} was killed"
    return [Claim("another gateway replica takes its place", figures, is_back and len(pids) > 1)]


def _without_database(running: Running, load: Load, away: AbstractContextManager[None]) -> list[Claim]:
    with StatusWatch(running) as watch, away:
        load.wait(AWAY_S)
    faults = {document["database"] for _, document in watch.seen if document["database"]}
    steps = {(document["models"][DIGITS]["rollout"] or {}).get("step") for _, document in watch.seen}
    is_back = scene.comes(lambda: running.status().get("database") == "", 30)
    return [
        Claim("status says that the database is away", f"{len(watch.seen)} looks; {sorted(faults)[:1]}", bool(faults)),
        Claim(
            "no step forward is taken that could not be kept",
            f"steps seen: {sorted(filter(None, steps))}",
            steps <= {1},
        ),
        Claim("the database is used again", f"fault {running.status().get('database')!r}", is_back),
    ]


@contextmanager
def _exclusively(path: Path) -> Iterator[None]:
    connection = sqlite3.connect(path, isolation_level=None, timeout=10)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@contextmanager
def _stopped(server: Any) -> Iterator[None]:  # noqa: ANN401 - of the tests' support
    server.stop()
    try:
        yield
    finally:
        server.start()
