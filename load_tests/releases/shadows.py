"""A shadow that gets every request and takes ten times as long: its callers do not notice, its answers are compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
MOST_RISE, LEAST_COPIED = 0.10, 0.9
COUNTED = ("compared", "dropped", "shadow_errors")
EXACT_RATE_PER_S = 8.0
VERSION = "shadow"


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
        load, without, within, counts = _phases(running, off, on)
        claims = [nothing_lost(load), _rise(without, within, quiet_ms), _copied(counts, within)]
        return [*claims, _disagreement(running, off, on, len(behaviour.wrong_rows))]


def _phases(
    running: Running, off: ReleaseFile, on: ReleaseFile
) -> tuple[Load, list[Outcomes], list[Outcomes], list[Mapping[str, float]]]:
    """The load, its outcomes in the phases without and with the shadow, and what was counted in the latter."""
    spans: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    counts = list[Mapping[str, float]]()
    with under_load(running.sending(DIGITS)) as load:
        for number in range(ROUNDS):
            turns = ((False, off), (True, on))
            for is_on, file in turns if number % 2 == 0 else reversed(turns):
                running.apply(file)
                load.wait(scene.SETTLED_S)
                before, begin = _counts(running), time.perf_counter()
                load.wait(PHASE_S)
                spans[is_on].append((begin, time.perf_counter()))
                if is_on:
                    counts.append({name: _grown(before, _counts(running), name) for name in COUNTED})
    cut: dict[bool, list[Outcomes]] = {
        is_on: [between(load.outcomes, *span) for span in found] for is_on, found in spans.items()
    }
    return load, cut[False], cut[True], counts


def _rise(without: list[Outcomes], within: list[Outcomes], quiet_ms: float) -> Claim:
    quiet, shadowed = ([p_ms(one, P99) for one in phases] for phases in (without, within))
    rise = statistics.median(shadowed) / statistics.median(quiet) - 1
    figures = (
        f"without {_listed(quiet)}; with {_listed(shadowed)} ms; medians {statistics.median(quiet):.1f} and "
        f"{statistics.median(shadowed):.1f} ms: {rise:+.1%}; the shadow adds {(SLOWER - 1) * quiet_ms:.0f} ms to each"
    )
    return Claim(f"the caller's p99 rises by at most {MOST_RISE:.0%}", figures, rise <= MOST_RISE)


def _copied(counts: list[Mapping[str, float]], within: list[Outcomes]) -> Claim:
    sums = {name: sum(one[name] for one in counts) for name in COUNTED}
    figures = ", ".join(f"{name} {count:,.0f}" for name, count in sums.items())
    sent = sum(map(len, within))
    claim = f"at least {LEAST_COPIED:.0%} of the requests were copied: counted a second before or after they were sent"
    return Claim(claim, f"{figures}, of {sent:,} sent", sum(sums.values()) >= LEAST_COPIED * sent)


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
