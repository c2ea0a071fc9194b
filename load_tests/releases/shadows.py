"""A shadow that gets every request and takes ten times as long: its callers do not notice, its answers are compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from load_tests.accounting import Account
from load_tests.releases import files, scene
from load_tests.releases.canaries import quiet_latency_ms
from load_tests.releases.candidates import golden_rows, spoil, write_candidate
from load_tests.releases.claims import P99, Claim, nothing_lost
from load_tests.releases.files import DIGITS, ReleaseFile
from load_tests.releases.load import Load, all_of, under_load
from load_tests.releases.outcomes import Outcomes, between, p_ms
from load_tests.releases.running import Running, serving
from load_tests.releases.spoiled import Behaviour
from load_tests.releases.truth import rows

SLOWER, WRONG = 10.0, 0.05
ROUNDS, PHASE_S = 20, 8.0  # many short ones in turn: what else the machine does changes within minutes
MOST_RISE, LEAST_COMPARED = 0.10, 0.9
COUNTED = ("compared", "dropped", "shadow_errors")
EXACT_RATE_PER_S = 8.0
VERSION = "shadow"


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the load.

    Attributes:
        begin_s: When it began, as `time.perf_counter` has it; `end_s` likewise.
        cpu_s: CPU seconds of the gateway and of the shadow's replica.
        counted: By how much the shadow's counters grew.
    """

    begin_s: float
    end_s: float
    cpu_s: float
    counted: Mapping[str, float]

    def of(self, load: Load) -> Outcomes:
        """The outcomes of its requests."""
        return between(load.outcomes, self.begin_s, self.end_s)


def shadow(folder: Path) -> list[Claim]:
    """Phases without and with the shadow in turn, then one pass over all rows that nothing is dropped of."""
    first = scene.with_digits(folder)
    with serving(first, folder, "shadow") as running:
        quiet_ms = quiet_latency_ms(running)
        behaviour = Behaviour(spoil(rows(), WRONG, golden_rows()), extra_ms=(SLOWER - 1) * quiet_ms)
        source = write_candidate(folder / VERSION, behaviour)
        application = files.release(DIGITS, VERSION, source, "Perceptron")
        off = first.serving(application).routed(DIGITS, {"v1": 100, VERSION: 0})
        on = off.routed(DIGITS, {"v1": 100, VERSION: 0}, shadow=[{"to": VERSION, "percent": 100}])
        running.apply(off)
        scene.answers_with(running, DIGITS, VERSION)
        load, without, within = _phases(running, off, on)
        quiet, shadowed = ([one.of(load) for one in phases] for phases in (without, within))
        claims = [nothing_lost(load), _rise(quiet, shadowed, quiet_ms), _copied(without, within, shadowed)]
        return [*claims, _disagreement(running, off, on, len(behaviour.wrong_rows))]


def _phases(running: Running, off: ReleaseFile, on: ReleaseFile) -> tuple[Load, list[Phase], list[Phase]]:
    """The load, and its phases without and with the shadow."""
    phases: dict[bool, list[Phase]] = {False: [], True: []}
    pids = [*running.pids("gateway", "Gateway"), *running.pids(f"{DIGITS}-{VERSION}", DIGITS)]
    with under_load(running.sending(DIGITS)) as load:
        for number in range(ROUNDS):
            turns = ((False, off), (True, on))
            for is_on, file in turns if number % 2 == 0 else reversed(turns):
                running.apply(file)
                load.wait(scene.SETTLED_S)
                before, account, begin_s = _counts(running), Account(pids), time.perf_counter()
                load.wait(PHASE_S)
                end_s, cost, after = time.perf_counter(), account.close(), _counts(running)
                counted = {name: _grown(before, after, name) for name in COUNTED}
                phases[is_on].append(Phase(begin_s, end_s, cost.cpu_s, counted))
    return load, phases[False], phases[True]


def _rise(without: list[Outcomes], within: list[Outcomes], quiet_ms: float) -> Claim:
    quiet, shadowed = ([p_ms(one, P99) for one in phases] for phases in (without, within))
    rise = statistics.median(shadowed) / statistics.median(quiet) - 1
    figures = (
        f"without {_listed(quiet)}; with {_listed(shadowed)} ms; medians {statistics.median(quiet):.1f} and "
        f"{statistics.median(shadowed):.1f} ms: {rise:+.1%}; the shadow adds {(SLOWER - 1) * quiet_ms:.0f} ms to each"
    )
    return Claim(f"the caller's p99 rises by at most {MOST_RISE:.0%}", figures, rise <= MOST_RISE)


def _copied(without: list[Phase], within: list[Phase], shadowed: list[Outcomes]) -> Claim:
    sums = {name: sum(one.counted[name] for one in within) for name in COUNTED}
    counts = ", ".join(f"{name} {count:,.0f}" for name, count in sums.items())
    sent = sum(map(len, shadowed))
    costs = " and ".join(f"{_cpu_ms_per_s(phases):.0f}" for phases in (without, within))
    return Claim(
        f"at least {LEAST_COMPARED:.0%} of the requests were compared: counted a second before or after they were sent",
        f"{counts}, of {sent:,} sent; the gateway and the shadow took {costs} ms of CPU a second without and with them",
        sums["compared"] >= LEAST_COMPARED * sent,
    )


def _cpu_ms_per_s(phases: list[Phase]) -> float:
    return 1000 * sum(one.cpu_s for one in phases) / sum(one.end_s - one.begin_s for one in phases)


def _disagreement(running: Running, off: ReleaseFile, on: ReleaseFile, wrong_rows: int) -> Claim:
    """Every row once, so slowly that no copy is dropped: exactly the wrong rows disagree."""
    running.apply(off)
    running.apply(on)
    scene.comes(lambda: bool(running.model(DIGITS).get("shadows")))
    before = _counts(running)
    load = all_of(running.sending(DIGITS, EXACT_RATE_PER_S, most=len(rows())))
    scene.comes(lambda: _grown(before, _counts(running), "compared") >= len(rows()), 20)
    found = _counts(running)
    compared, disagreed, dropped = (_grown(before, found, name) for name in ("compared", "disagreed", "dropped"))
    figures = (
        f"{disagreed:.0f} of {compared:.0f} compared, {dropped:.0f} dropped, of {load.due} sent; offline {wrong_rows}"
    )
    return Claim("disagreement is what it is offline", figures, (disagreed, compared) == (wrong_rows, len(rows())))


def _counts(running: Running) -> Mapping[str, Any]:
    found: Mapping[str, Any] = running.model(DIGITS).get("counts", {}).get(VERSION, {})
    return found


def _grown(before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> float:
    return float(after.get(name, 0)) - float(before.get(name, 0))


def _listed(figures: list[float]) -> str:
    return " ".join(f"{figure:.1f}" for figure in figures)
