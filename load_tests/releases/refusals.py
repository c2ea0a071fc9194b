"""Versions that cannot become ready: nothing moves, nothing is lost, and everybody is told why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from load_tests.releases import files, scene
from load_tests.releases.candidates import write_candidate, write_wrong_golden
from load_tests.releases.claims import Claim, all_right, nothing_lost
from load_tests.releases.files import DIGITS
from load_tests.releases.load import under_load
from load_tests.releases.running import Running, StatusWatch, serving
from load_tests.releases.spoiled import Behaviour
from load_tests.releases.truth import labels_of

READY_TIMEOUT_S = 25.0
ROLLOUT = {"strategy": "blue_green", "ready_timeout_s": READY_TIMEOUT_S, "keep_for_s": 0}


def candidates(folder: Path) -> dict[str, tuple[dict[str, Any], str]]:
    """By version: its application, and a part of the reason that must be told."""
    sound = Behaviour()
    return {
        "never": (
            files.release(DIGITS, "never", write_candidate(folder / "never", sound), "NeverReady"),
            f"not ready after {READY_TIMEOUT_S:g} s",
        ),
        "raises": (
            files.release(DIGITS, "raises", write_candidate(folder / "raises", sound), "Raising"),
            "the weights of this version were lost",
        ),
        "golden": (files.release(DIGITS, "golden", write_wrong_golden(folder / "golden")), "output 'label' differs"),
    }


def never_ready(folder: Path) -> list[Claim]:
    """One that waits for ever, one whose constructor raises, one that fails its golden check."""
    first = scene.with_digits(folder)
    claims: list[Claim] = []
    with serving(first, folder, "refusals") as running, under_load(running.sending(DIGITS)) as load:
        load.wait(scene.WARM_UP_S)
        for version, (application, reason) in candidates(folder).items():
            then = first.serving(application).routed(DIGITS, {version: 100}, rollout=ROLLOUT)
            claims += _refused(running, then, version, reason)
    truth = {"v1": labels_of(files.digits("v1"))}
    return [nothing_lost(load), all_right(load.outcomes, truth), *claims]


def _refused(running: Running, then: files.ReleaseFile, version: str, reason: str) -> list[Claim]:
    with StatusWatch(running) as watch:
        apply = running.apply(then)
    told, percents = watch.reasons(DIGITS, version), watch.percents(DIGITS, version)
    last = apply.output.splitlines()[-1] if apply.lines else "no output"
    is_gone = scene.comes(lambda: f"digits-{version}" not in running.applications())
    expected = reason if version != "never" else ""
    is_told = bool(told) and expected in " ".join(told)
    return [
        Claim(
            f"{version}: apply exits with 1 and the reason",
            f"exit {apply.process.returncode} after {apply.ended_s - apply.began_s:.0f} s: {last[:260]}",
            apply.process.returncode == 1 and reason in apply.output,
        ),
        Claim(
            f"{version}: its weight stays 0",
            f"{max(percents, default=0):g}% in {len(percents)} looks",
            not any(percents),
        ),
        Claim(f"{version}: status says why", "; ".join(told)[-260:] or "nothing", is_told),
        Claim(f"{version}: it is taken away again", str(sorted(running.applications())), is_gone),
    ]
