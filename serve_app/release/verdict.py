"""What a gate says of a step, and the line that is printed for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

_ENDS = {"low": -math.inf, "high": math.inf}
_RATES = frozenset({"error_rate", "deadline_miss_rate", "disagreement", "accuracy"})


class Outcome(StrEnum):
    """How a gate stands."""

    PASSED = "passed"  # enough was seen, and the bound is not shown to be broken
    FAILED = "failed"  # the bound is broken; this does not wait for min_requests
    WAITING = "waiting"  # too little was seen


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one gate says of one step.

    Attributes:
        gate: What is measured, e.g. `latency_ms p95`.
        bound: Kind and limit, e.g. `max_increase 0.005`.
        new_value: None where nothing was seen.
        new_n: Requests, answers, compared, judged or rewarded requests, or seconds: what the value was measured on.
        low: End of the interval of the new value (bounds max, min), of new - stable (max_increase, max_decrease) or of
            new / stable (max_ratio); may be infinite, as `high` may.
        confidence: Of that interval, at all times at once.
        sentence: All of this, to be printed.
    """

    gate: str
    bound: str
    outcome: Outcome
    new_value: float | None
    stable_value: float | None
    new_n: int
    stable_n: int
    low: float
    high: float
    confidence: float
    sentence: str = ""

    def to_json(self) -> dict[str, object]:
        """As JSON has it; an infinite end is null."""
        ends = {
            name: value if math.isfinite(value) else None for name, value in (("low", self.low), ("high", self.high))
        }
        return asdict(self) | {"outcome": self.outcome.value} | ends

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Verdict:
        """What `to_json` wrote."""
        ends = {name: infinite if document[name] is None else document[name] for name, infinite in _ENDS.items()}
        return cls(**{**document, **ends, "outcome": Outcome(document["outcome"])})


def told(verdict: Verdict, versions: tuple[str, str], lacks: str) -> Verdict:
    """The verdict with its sentence.

    Args:
        verdict: Without one.
        versions: Tags of the stable and the new version.
        lacks: What it waits for; empty if nothing.
    """
    kind, limit = verdict.bound.split()
    stable, new = versions
    value = _amount(verdict.gate, verdict.new_value)
    start = f"{verdict.gate} of {new} {value} (n {verdict.new_n:,})"
    stable_value = _amount(verdict.gate, verdict.stable_value)
    other = f"{stable}'s {stable_value} (n {verdict.stable_n:,})"
    is_broken = verdict.outcome is Outcome.FAILED
    low, high = verdict.low, verdict.high
    if kind == "max_ratio":
        text = f"{start} is {_range('ratio', low, high)} times {other}"
    elif kind == "max_decrease" and is_broken:
        text = f"{start} is under {other} by {_range(verdict.gate, -high, -low)}"
    elif kind == "max_increase" and is_broken:
        text = f"{start} is over {other} by {_range(verdict.gate, low, high)}"
    elif kind in ("max_increase", "max_decrease"):
        text = f"{start} differs from {other} by {_range(verdict.gate, low, high)}"
    else:
        text = f"{start}, in truth {_range(verdict.gate, low, high)}"
    end = lacks if verdict.outcome is Outcome.WAITING else _conclusion(kind, limit, verdict)
    return replace(verdict, sentence=f"{text} at {_percent(verdict.confidence)}: {end}")


def _conclusion(kind: str, limit: str, verdict: Verdict) -> str:
    if verdict.outcome is Outcome.FAILED:
        return f"{'less' if kind == 'min' else 'more'} than {kind} {limit}"
    bound = float(limit)
    is_kept = {"min": verdict.low >= bound, "max_decrease": verdict.low >= -bound}.get(kind, verdict.high <= bound)
    return f"{kind} {limit} is {'kept' if is_kept else 'not shown to be broken'}"


def _amount(gate: str, value: float | None) -> str:
    if value is None:
        return "unknown"
    if gate.startswith("latency_ms p"):
        return f"{value:.3g} ms" if value < 1000 else f"{value:,.0f} ms"
    return _number(gate, value)


def _number(gate: str, value: float) -> str:
    value += 0.0  # a zero without a sign
    if gate in _RATES:
        return f"{value:.3f}" if value == 0 or abs(value) >= 0.001 else f"{value:.1g}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _range(gate: str, low: float, high: float) -> str:
    if math.isinf(low) and math.isinf(high):
        return "any amount"
    if math.isinf(low):
        return f"at most {_number(gate, high)}"
    if math.isinf(high):
        return f"at least {_number(gate, low)}"
    return f"{_number(gate, low)} to {_number(gate, high)}"


def _percent(confidence: float) -> str:
    """With as many decimals as tell it from 100%."""
    risk = 100 * (1 - confidence)
    return f"{100 - risk:.{max(1, math.ceil(-math.log10(risk)))}f}%"
