"""Blue-green: all traffic of digits, or of a whole graph, moves at once to a version that is ready, and back."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from load_tests.releases import files, scene
from load_tests.releases.claims import Claim, all_right, nothing_lost, only, p99_within
from load_tests.releases.files import DIGITS, ENSEMBLE, ReleaseFile
from load_tests.releases.load import Load, under_load
from load_tests.releases.outcomes import between, last_due_s
from load_tests.releases.running import Command, Running, serving
from load_tests.releases.truth import labels_of

logger = logging.getLogger("load_tests.releases")

KEEP_FOR_S = 300.0
ROLLBACK_S, P99_RATIO = 2.0, 2.0
BLUE_GREEN = {"strategy": "blue_green", "keep_for_s": KEEP_FOR_S}

Application = dict[str, Any]


def blue_green_digits(folder: Path) -> list[Claim]:
    """The perceptron of digits gives way to the conv net, and comes back."""
    return switched(folder, DIGITS, files.digits("v1"), files.digits("v2"))


def blue_green_ensemble(folder: Path) -> list[Claim]:
    """The ensemble of three nets under other weights, and back."""
    return switched(folder, ENSEMBLE, files.ensemble("v1"), files.ensemble("v2", files.OTHER_WEIGHTS))


def switched(folder: Path, model: str, old: Application, new: Application) -> list[Claim]:
    """All claims about a switch from v1 to v2 and a rollback, under one load."""
    first = scene.base(folder).serving(old).routed(model, {"v1": 100})
    then = first.without(old["name"]).serving(new).routed(model, {"v2": 100}, rollout=BLUE_GREEN)
    truth = {"v1": labels_of(old), "v2": labels_of(new)}
    with serving(first, folder, model) as running, under_load(running.sending(model)) as load:
        load.wait(scene.WARM_UP_S + scene.QUIET_S)
        apply = running.apply(then)
        load.wait(scene.QUIET_S)
        rollback = running.rollback(model)
        load.wait(scene.QUIET_S / 2)
    return [
        Claim("apply and rollback succeed", _codes(apply, rollback), apply.process.returncode == 0 and _ok(rollback)),
        nothing_lost(load),
        all_right(load.outcomes, truth),
        *_switch_claims(model, load, apply, rollback),
        *_latency_claims(load, apply, rollback),
    ]


def _switch_claims(model: str, load: Load, apply: Command, rollback: Command) -> list[Claim]:
    switched_s = apply.said_s("succeeded") or apply.ended_s
    back_s = rollback.said_s(f"{model}: ") or rollback.ended_s
    last_s = last_due_s(between(load.outcomes, switched_s), "v2")
    moved_s = (last_s or back_s) - rollback.began_s
    said = next((line for _, line in rollback.lines if " after " in line), rollback.output[-200:])
    return [
        only(between(load.outcomes, switched_s, rollback.began_s), "v2", "once apply says that it succeeded"),
        only(between(load.outcomes, back_s), "v1", "once rollback says that it is done"),
        Claim(
            f"rollback moves all traffic within {ROLLBACK_S:g} s of the command's start",
            f"the last request that v2 answered was due {moved_s:.2f} s after it; '{said}'",
            moved_s <= ROLLBACK_S,
        ),
    ]


def _latency_claims(load: Load, apply: Command, rollback: Command) -> list[Claim]:
    begin_s = load.outcomes[0].due_s + scene.WARM_UP_S
    before = between(load.outcomes, begin_s, apply.began_s)
    during = between(load.outcomes, apply.began_s, apply.ended_s + scene.SETTLED_S)
    back = between(load.outcomes, rollback.began_s, rollback.ended_s + scene.SETTLED_S)
    return [
        p99_within(before, during, P99_RATIO, "during the change"),
        p99_within(before, back, P99_RATIO, "during the rollback"),
    ]


def _ok(command: Command) -> bool:
    return command.process.returncode == 0


def _codes(apply: Command, rollback: Command) -> str:
    told = [
        f"{name} {command.ended_s - command.began_s:.1f} s, exit {command.process.returncode}"
        + ("" if _ok(command) else f": {command.output[-300:]}")
        for name, command in (("apply", apply), ("rollback", rollback))
    ]
    return "; ".join(told)


def killed_apply(folder: Path) -> list[Claim]:
    """`serve-app apply` killed with SIGKILL after each line that it writes, then run again: always the same end."""
    first = scene.with_digits(folder).routed(DIGITS, {"v1": 100}, rollout={**BLUE_GREEN, "keep_for_s": 0})
    then = first.without("digits-v1").serving(files.digits("v2")).routed(DIGITS, {"v2": 100}, rollout=BLUE_GREEN)
    claims = []
    with serving(first, folder, "killed-apply") as running, under_load(running.sending(DIGITS)) as load:
        load.wait(scene.WARM_UP_S)
        whole = running.apply(then)
        wanted, steps = _end(running), _steps(whole)
        claims.append(Claim("a whole run succeeds", f"{len(steps)} lines; {wanted}", _ok(whole)))
        for number, step in enumerate(steps):
            claims.append(_killed_at(running, (first, then), number, step, wanted))
    return [*claims, nothing_lost(load, "every request is answered, whatever was killed")]


def _killed_at(
    running: Running, file_pair: tuple[ReleaseFile, ReleaseFile], number: int, step: str, wanted: dict[str, object]
) -> Claim:
    first, then = file_pair
    reset = running.apply(first)
    scene.comes(lambda: set(running.applications()) == {"gateway", *first.releases})
    killed = running.applying(then)
    scene.comes(lambda: len(_steps(killed)) > number or killed.process.poll() is not None, 120)
    is_early = killed.process.poll() is None
    killed.kill()
    again = running.apply(then)
    end = _end(running)
    logger.info("killed at %r and run again: exit %s, %s", step, again.process.returncode, end)
    figures = f"{'killed' if is_early else 'was over'}; then exit {again.process.returncode}"
    if end != wanted or not _ok(again) or not _ok(reset):
        figures += f"; {end}; reset exit {reset.process.returncode}; {again.output[-300:]}"
    return Claim(f"killed at {step[:60]!r} and run again", figures, end == wanted and _ok(again) and _ok(reset))


def _steps(command: Command) -> list[str]:
    """The lines behind the plan's tables."""
    return [line for _, line in command.lines if line and line[0] not in "┏┡└┃│"]


def _end(running: Running) -> dict[str, object]:
    """What a run leaves: applications, the tables, what is ready, what is to be deleted."""
    document = running.status()
    model = document.get("models", {}).get(DIGITS, {})
    return {
        "applications": sorted(running.applications()),
        "declared": model.get("declared", {}).get("traffic"),
        "live": {version: weight for version, weight in model.get("traffic", {}).items() if weight},
        "retired": sorted(one["release"] for one in document.get("retirements", ())),
        "locked": document.get("lock") is not None,
    }
