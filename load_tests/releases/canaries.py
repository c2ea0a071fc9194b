"""Canaries whose new version is worse than it may be, and one that is not: the gates decide, and nobody else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from load_tests.releases import files, scene
from load_tests.releases.candidates import golden_rows, spoil, write_candidate, write_sound
from load_tests.releases.claims import Claim, all_right, nothing_lost
from load_tests.releases.files import DIGITS, ReleaseFile
from load_tests.releases.load import Load, under_load
from load_tests.releases.outcomes import between, failures, p_ms, share_of
from load_tests.releases.running import Command, Running, StatusWatch, serving
from load_tests.releases.spoiled import Behaviour
from load_tests.releases.truth import labels_of, rows

MOST_PERCENT = 25.0
STEPS = {25.0: 5.0, 50.0: 5.0}
WRONG, RAISING, SLOWER = 0.05, 0.02, 2.0
RATE_PER_S = 120.0
LIMIT_S = 420.0
# A step goes on when its sample is there and nothing was shown, so samples must be large enough to show it: in 100
# simulated canaries, 2% of errors against 0.5% more were shown by request 2,000 at the latest in 95, 5% of other labels
# against 2% by 1,150, and twice the latency against 1.5 times by 800.
DISAGREEMENT = {"metric": "disagreement", "max": 0.02, "min_requests": 1500}
ERRORS = {"metric": "error_rate", "max_increase": 0.005, "min_requests": 2500}
LATENCIES = tuple(
    {"metric": "latency_ms", "quantile": quantile, "max_ratio": 1.5, "min_requests": 1000} for quantile in (0.5, 0.95)
)


@dataclass(frozen=True, slots=True)
class Canary:
    """A candidate and what should become of it.

    Attributes:
        gates: Of its rollout.
        gate: That should fail; empty for a sound one.
    """

    version: str
    application: Mapping[str, Any]
    gates: tuple[Mapping[str, Any], ...]
    gate: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """What was seen of one canary."""

    load: Load
    apply: Command
    watch: StatusWatch
    rollout: Mapping[str, Any]


def wrong_on_some(folder: Path) -> list[Claim]:
    """A version that says another digit to 5% of the rows."""
    behaviour = Behaviour(wrong_rows=spoil(rows(), WRONG, golden_rows()))
    return _one(folder, "wrong", behaviour, "disagreement")


def raises_on_some(folder: Path) -> list[Claim]:
    """A version that raises on 2% of the requests."""
    behaviour = Behaviour(raising_rows=spoil(rows(), RAISING, golden_rows()))
    return _one(folder, "raising", behaviour, "error_rate")


def slower(folder: Path) -> list[Claim]:
    """A version with twice the latency, as it is measured at this server."""
    with serving(scene.with_digits(folder), folder, "latency") as running:
        quiet_ms = quiet_latency_ms(running)
    behaviour = Behaviour(extra_ms=(SLOWER - 1) * quiet_ms)
    return [
        Claim("digits v1 has been measured", f"p50 {quiet_ms:.2f} ms, which the slow one adds", quiet_ms > 0),
        *_one(folder, "slow", behaviour, "latency_ms"),
    ]


def sound(folder: Path) -> list[Claim]:
    """The same model under another tag, with all gates."""
    application = files.release(DIGITS, "sound", write_sound(folder / "sound"))
    return tried(folder, Canary("sound", application, (DISAGREEMENT, ERRORS, *LATENCIES)))


def quiet_latency_ms(running: Running, seconds: float = scene.QUIET_S) -> float:
    """The median latency of digits, seen by its callers."""
    with under_load(running.sending(DIGITS, RATE_PER_S)) as load:
        load.wait(scene.WARM_UP_S + seconds)
    return p_ms(between(load.outcomes, load.outcomes[0].due_s + scene.WARM_UP_S), 0.5)


def _one(folder: Path, version: str, behaviour: Behaviour, gate: str) -> list[Claim]:
    source = write_candidate(folder / version, behaviour)
    application = files.release(DIGITS, version, source, "Perceptron")
    return tried(folder, Canary(version, application, (DISAGREEMENT, ERRORS, *LATENCIES), gate))


def tried(folder: Path, canary: Canary) -> list[Claim]:
    """All claims about one canary."""
    first = scene.with_digits(folder)
    rollout = files.canary(STEPS, *canary.gates, keep_for_s=60)
    then = first.serving(canary.application).routed(DIGITS, {canary.version: 100}, rollout=rollout)
    with serving(first, folder, canary.version) as running:
        run = _run(running, then)
    sentence = f"{run.rollout.get('phase')}: {run.rollout.get('reason', '')}"
    most = max(run.watch.percents(DIGITS, canary.version), default=0.0)
    is_sound = not canary.gate
    claims = [*_lost(run, canary), _right(run.load, canary)]
    if is_sound:
        is_over = run.rollout.get("phase") == "succeeded" and run.apply.process.returncode == 0
        seconds = run.apply.ended_s - run.apply.began_s
        return [*claims, Claim("a sound canary is promoted", f"{sentence}, {seconds:.0f} s; {_gates(run)}", is_over)]
    is_back = run.rollout.get("phase") == "rolled_back" and canary.gate in run.rollout.get("reason", "")
    said = f"exit {run.apply.process.returncode}: {run.apply.output.splitlines()[-1][:200]}"
    return [
        *claims,
        Claim(f"its gate {canary.gate} rolls it back", f"{sentence}; {_seconds(run)}", is_back),
        Claim(f"before it had more than {MOST_PERCENT:g}%", f"at most {most:g}%", 0 < most <= MOST_PERCENT),
        Claim("apply exits with 1 and the reason", said, run.apply.process.returncode == 1),
        _after(run, canary.version),
    ]


def _run(running: Running, then: ReleaseFile) -> Run:
    with under_load(running.sending(DIGITS, RATE_PER_S)) as load, StatusWatch(running) as watch:
        load.wait(scene.WARM_UP_S)
        apply = running.apply(then, LIMIT_S)
        load.wait(scene.SETTLED_S)
        rollout = running.rollout(DIGITS)
        load.wait(scene.SETTLED_S)
    return Run(load, apply, watch, rollout)


def _lost(run: Run, canary: Canary) -> list[Claim]:
    """Nothing but the canary's own errors is lost."""
    failed = failures(run.load.outcomes)
    if canary.gate != "error_rate":
        return [nothing_lost(run.load)]
    own = [outcome for outcome in failed if outcome.status == 500]
    return [nothing_lost(run.load, "only requests at which the version raised fail, with 500", allowed=len(own))]


def _right(load: Load, canary: Canary) -> Claim:
    truth = {"v1": labels_of(files.digits("v1"))}
    behaviour = Path(canary.application["args"]["source"]) / "behaviour.json"
    spoiled = Behaviour.from_json(behaviour.read_text()) if behaviour.exists() else Behaviour()
    truth[canary.version] = spoiled.labels(rows(), truth["v1"])
    return all_right(load.outcomes, truth)


def _after(run: Run, version: str) -> Claim:
    late = between(run.load.outcomes, run.apply.ended_s)
    return Claim(
        "afterwards v1 has all traffic", f"{share_of(late, version):.1%} of {len(late)}", not share_of(late, version)
    )


def _seconds(run: Run) -> str:
    lasted = (run.rollout.get("ended_s") or 0) - (run.rollout.get("started_s") or 0)
    return f"{lasted:.0f} s after the rollout began"


def _gates(run: Run) -> str:
    return "; ".join(str(verdict.get("sentence", "")) for verdict in run.rollout.get("verdicts", ()))
