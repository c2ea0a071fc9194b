"""What a scenario claims, whether it held, and with what figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from load_tests.releases.load import Load
from load_tests.releases.outcomes import Outcome, Outcomes, Truth, answers, failures, faults, p_ms, wrong

P99 = 0.99


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence that is true or not.

    Attributes:
        figures: What was measured.
        is_true: Whether it held.
    """

    says: str
    figures: str
    is_true: bool


def nothing_lost(load: Load, says: str = "every request is answered", allowed: int = 0) -> Claim:
    """Of a load that is over: each request that was due has an outcome, and none of them failed.

    Args:
        load: All of it counts.
        says: What is claimed.
        allowed: Failures that are part of the scenario, such as a canary's own errors.
    """
    failed = failures(load.outcomes)
    figures = f"{load.due:,} due = {len(load.outcomes) - len(failed):,} answered + {len(failed)} failed"
    told = f"{figures}: {faults(failed)}" if failed else figures
    return Claim(says, told, load.is_exact and len(failed) <= allowed)


def all_right(outcomes: Outcomes, truth: Truth) -> Claim:
    """Every answer is that of the version that it names."""
    bad = wrong(outcomes, truth)
    first = f", the first of {bad[0].version!r} to row {bad[0].row}: {bad[0].label}" if bad else ""
    by_version = ", ".join(f"{version} {count:,}" for version, count in sorted(answers(outcomes).items()))
    return Claim("every answer is its version's own", f"{by_version}; {len(bad)} wrong{first}", not bad)


def only(outcomes: Iterable[Outcome], version: str, when: str) -> Claim:
    """All answers came from one version."""
    counted = answers(outcomes)
    others = counted.total() - counted[version]
    figures = f"{counted[version]:,} of {version}, {others} of others"
    return Claim(f"only {version} answers {when}", figures, not others and counted[version] > 0)


def p99_within(before: Outcomes, during: Outcomes, most: float, what: str) -> Claim:
    """The 99th percentile is at most `most` times what it was before."""
    quiet_ms, busy_ms = p_ms(before, P99), p_ms(during, P99)
    ratio = busy_ms / quiet_ms
    figures = f"{busy_ms:.1f} ms of {len(during):,} to {quiet_ms:.1f} ms of {len(before):,}: {ratio:.2f} x"
    return Claim(f"p99 {what} is at most {most:g} x", figures, ratio <= most)


def table(found: Iterable[tuple[str, Iterable[Claim]]]) -> Table:
    """A row for each claim, by scenario."""
    shown = Table("scenario", "claim", "figures", "holds", show_lines=False)
    for scenario, claims in found:
        for number, claim in enumerate(claims):
            name = scenario if not number else ""
            shown.add_row(name, escape(claim.says), escape(claim.figures), "[green]yes" if claim.is_true else "[red]NO")
    return shown
