"""What became of every request of a load, and the figures of a stretch of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from load_tests.points import quantile
from serve_app.types import Array

OK = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request that was due, whatever became of it.

    Attributes:
        due_s: When it was due, as `time.perf_counter` has it.
        row: Which of the held-out rows was sent.
        latency_ms: From when it was due until its answer or its end.
        status: Of HTTP; 0 where there was no answer.
        version: That answered, as it says itself.
        label: That it said; None where it said none.
        gateway: Identity of the gateway replica that answered.
        user: As whom it was sent; empty for nobody.
        fault: Why it failed; empty if it did not.
    """

    due_s: float
    row: int
    latency_ms: float
    status: int = 0
    version: str = ""
    label: int | None = None
    gateway: str = ""
    user: str = ""
    fault: str = ""

    @property
    def failed(self) -> bool:
        """Whether it was not answered with 200."""
        return self.status != OK


Outcomes = Sequence[Outcome]
Truth = Mapping[str, Array]
"""What each version answers to every held-out row, INT64 [rows], by version tag."""


def between(outcomes: Iterable[Outcome], begin_s: float, end_s: float = float("inf")) -> list[Outcome]:
    """Those that were due from `begin_s` on and before `end_s`."""
    return [outcome for outcome in outcomes if begin_s <= outcome.due_s < end_s]


def failures(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Those with another status than 200, broken or without an answer."""
    return [outcome for outcome in outcomes if outcome.failed]


def faults(outcomes: Iterable[Outcome], most: int = 3) -> str:
    """The commonest reasons of failures, for people; empty if there are none."""
    counted = Counter(outcome.fault for outcome in outcomes if outcome.failed)
    return "; ".join(f"{count} x {fault[:160]}" for fault, count in counted.most_common(most))


def answers(outcomes: Iterable[Outcome]) -> Counter[str]:
    """How many each version answered with 200."""
    return Counter(outcome.version for outcome in outcomes if not outcome.failed)


def wrong(outcomes: Iterable[Outcome], truth: Truth) -> list[Outcome]:
    """Answers that are not what their version says to that row; one of an unknown version is wrong."""
    return [
        outcome
        for outcome in outcomes
        if not outcome.failed
        and (outcome.version not in truth or outcome.label != int(truth[outcome.version][outcome.row]))
    ]


def p_ms(outcomes: Iterable[Outcome], share: float) -> float:
    """A quantile of the latencies of answers with 200, in ms; NaN if there are none."""
    return quantile(sorted(outcome.latency_ms for outcome in outcomes if not outcome.failed), share)


def last_due_s(outcomes: Iterable[Outcome], version: str) -> float | None:
    """When the last request was due that a version answered; None if it answered none."""
    return max((outcome.due_s for outcome in outcomes if outcome.version == version), default=None)


def share_of(outcomes: Iterable[Outcome], version: str) -> float:
    """Part of the answers that a version gave, 0 to 1."""
    counted = answers(outcomes)
    return counted[version] / counted.total() if counted else 0.0


def versions_of_users(outcomes: Iterable[Outcome]) -> dict[str, set[str]]:
    """The versions that answered each user."""
    found: dict[str, set[str]] = {}
    for outcome in outcomes:
        if outcome.user and not outcome.failed:
            found.setdefault(outcome.user, set()).add(outcome.version)
    return found
