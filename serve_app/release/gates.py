"""Verdicts of a rollout's gates: whether the new version has been shown to break a bound.

Every step is judged by its own requests alone. Pooled over steps, the two versions would have been measured at
different shares of the traffic and at different times of day, and the one with more of the slow hours would look slow
(Simpson's paradox). Within a step both get the same mix of requests, because the split is random.

The risk 1 - confidence of rolling back a version that keeps all bounds is shared equally by all gates in all steps
(Bonferroni). Each share is spent on a confidence sequence (`sequential.py`), so verdicts may be asked for at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from serve_app.config.expression import COUNTERS, evaluate
from serve_app.config.rollout import GateConfig, RolloutConfig
from serve_app.release import metrics
from serve_app.release.counts import ArmCounts
from serve_app.release.metrics import Means, Pair, Quantiles, Rates, Sums
from serve_app.release.sequential import ANYTHING, Interval
from serve_app.release.verdict import Outcome, Verdict, told

__all__ = ["ArmMetric", "Outcome", "SecondSamples", "Verdict", "compare_arms", "judge"]

_UNITS = {
    "latency_ms": "answers",
    "disagreement": "compared requests",
    "distance": "compared requests",
    "accuracy": "labels",
    "reward": "rewards",
    None: "seconds",
}


@dataclass(slots=True)
class SecondSamples:
    """Values of the gates' expressions in single seconds, summed up by expression."""

    stable: dict[str, Sums] = field(default_factory=dict)
    new: dict[str, Sums] = field(default_factory=dict)

    def add(self, config: RolloutConfig, stable_delta: ArmCounts, new_delta: ArmCounts) -> None:
        """Take what one second counted into account; an arm that nobody asked in that second has no value."""
        new_asked = _asked(new_delta, is_shadow=config.strategy == "shadow")
        for expression in {gate.expression for gate in config.gates if gate.expression is not None}:
            for sums, delta, asked in (
                (self.stable, stable_delta, stable_delta.requests),
                (self.new, new_delta, new_asked),
            ):
                value = evaluate(expression, _counters(delta)) if asked else None
                if value is not None:
                    sums[expression] = sums.get(expression, Sums()) + value

    def to_json(self) -> dict[str, object]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> SecondSamples:
        """What `to_json` wrote; an empty document makes empty ones."""
        arms = ({name: Sums(**sums) for name, sums in document.get(arm, {}).items()} for arm in ("stable", "new"))
        return cls(*arms)


def judge(
    config: RolloutConfig, stable: ArmCounts, new: ArmCounts, samples: SecondSamples, versions: tuple[str, str]
) -> tuple[Verdict, ...]:
    """A verdict for each gate, in their order.

    Args:
        config: Whose gates, and whose risk.
        stable: What was counted of the stable version in this step.
        new: What was counted of the new one.
        samples: Seconds of this step.
        versions: Tags of the stable and the new version, for the sentences.
    """
    is_shadow = config.strategy == "shadow"
    alpha = (1 - config.confidence) / max(1, len(config.gates) * max(1, len(config.steps)))
    verdicts = []
    for gate in config.gates:
        if gate.expression is None:
            pair = _pair(gate, stable, new, is_shadow=is_shadow)
            seen = pair.new_n
        else:
            pair = Means(samples.new.get(gate.expression, Sums()), samples.stable.get(gate.expression, Sums()))
            seen = _asked(new, is_shadow=is_shadow)
        verdicts.append(_verdict(gate, pair, seen, alpha, versions))
    return tuple(verdicts)


@dataclass(frozen=True, slots=True)
class ArmMetric:
    """One metric of one version of an experiment.

    Attributes:
        n: Requests, answers, labels or rewards that it was measured on.
        value: None where there are none; so are the ends of an interval where nothing is known.
        difference: Of the value to that of the control.
    """

    metric: str
    n: int
    value: float | None
    low: float | None
    high: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None


def compare_arms(control: ArmCounts, arm: ArmCounts, confidence: float) -> list[ArmMetric]:
    """What is known of one version and of its difference to the control; metrics that neither has are left out.

    Each interval holds at all times at once with the given confidence; it is not shared among the metrics.
    """
    pairs: dict[str, Rates | Means] = {
        "error_rate": metrics.error_rate(arm, control),
        "latency_ms": metrics.mean_latency_ms(arm, control),
        "accuracy": metrics.accuracy(arm, control),
        "reward": metrics.reward(arm, control),
    }
    return [_arm_metric(name, pair, 1 - confidence) for name, pair in pairs.items() if pair.new_n or pair.stable_n]


def _arm_metric(name: str, pair: Pair, alpha: float) -> ArmMetric:
    value, other = pair.new_value, pair.stable_value
    absolute = pair.absolute(alpha) if pair.new_n >= pair.needs else ANYTHING
    relative = pair.relative(alpha) if min(pair.new_n, pair.stable_n) >= pair.needs else ANYTHING
    ends = ((None, None) if interval == ANYTHING else interval for interval in (absolute, relative))
    (low, high), (difference_low, difference_high) = ends
    difference = None if value is None or other is None else value - other
    return ArmMetric(name, pair.new_n, value, low, high, difference, difference_low, difference_high)


def _pair(gate: GateConfig, stable: ArmCounts, new: ArmCounts, *, is_shadow: bool) -> Pair:
    pairs: dict[str | None, Pair] = {
        "error_rate": metrics.error_rate(new, stable, is_shadow=is_shadow),
        "deadline_miss_rate": metrics.deadline_miss_rate(new, stable),
        "latency_ms": Quantiles(gate.quantile or 0.0, new.latency, stable.latency),
        "disagreement": metrics.disagreement(new),
        "distance": metrics.distance(new),
        "accuracy": metrics.accuracy(new, stable),
        "reward": metrics.reward(new, stable),
    }
    return pairs[gate.metric]


def _verdict(gate: GateConfig, pair: Pair, seen: int, alpha: float, versions: tuple[str, str]) -> Verdict:
    """Failure needs no minimum: exact intervals hold from the first request, others are unknown until they can."""
    kind, limit = gate.bound
    is_absolute = kind in ("max", "min")
    low, high = pair.absolute(alpha) if is_absolute else pair.relative(alpha)
    lacks = _lacks(gate, pair, seen) or ("" if is_absolute else _stable_lacks(gate, pair, versions[0]))
    outcome = Outcome.WAITING if lacks else Outcome.PASSED
    if _is_broken(kind, limit, (low, high)):
        outcome = Outcome.FAILED
    verdict = Verdict(
        gate=gate.name,
        bound=f"{kind} {limit:g}",
        outcome=outcome,
        new_value=pair.new_value,
        stable_value=pair.stable_value,
        new_n=pair.new_n,
        stable_n=pair.stable_n,
        low=low,
        high=high,
        confidence=1 - alpha,
    )
    return told(verdict, versions, lacks)


def _is_broken(kind: str, limit: float, interval: Interval) -> bool:
    low, high = interval
    if kind == "min":
        return high < limit
    if kind == "max_decrease":
        return high < -limit
    return low > limit


def _lacks(gate: GateConfig, pair: Pair, seen: int) -> str:
    unit = _UNITS.get(gate.metric, "requests")
    if seen < gate.min_requests:
        return f"{seen:,} of {gate.min_requests:,} {'requests' if gate.expression else unit} seen"
    if pair.new_n < pair.needs:
        return f"{pair.new_n:,} of {pair.needs:,} {unit} seen"
    return ""


def _stable_lacks(gate: GateConfig, pair: Pair, stable: str) -> str:
    unit = _UNITS.get(gate.metric, "requests")
    return f"{pair.stable_n:,} of {pair.needs:,} {unit} of {stable} seen" if pair.stable_n < pair.needs else ""


def _asked(counts: ArmCounts, *, is_shadow: bool) -> int:
    """How often a version was asked: a shadow by copies, some of which were dropped."""
    return counts.compared + counts.shadow_errors + counts.dropped if is_shadow else counts.requests


def _counters(counts: ArmCounts) -> dict[str, float]:
    return {name: getattr(counts, name) for name in COUNTERS}
