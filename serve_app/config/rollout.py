"""How a model's traffic moves to a new version: the strategy, its steps, and the gates between them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from serve_app.config.base import NO_BOOLEAN, Name, Number, PositiveFloat, PositiveInt, StrictModel
from serve_app.config.expression import OF_COPIES, names_in

Percent = Annotated[float, Field(ge=0, le=100), NO_BOOLEAN]
Share = Annotated[float, Field(gt=0, lt=1), NO_BOOLEAN]
Seconds = Annotated[float, Field(ge=0), NO_BOOLEAN]

Strategy = Literal["all-at-once", "blue_green", "canary", "shadow"]

COMPARED = frozenset({"disagreement", "distance"})
"""Metrics that need the same request answered by both versions."""

_BOUNDS = {
    "error_rate": ("max", "max_increase"),
    "deadline_miss_rate": ("max", "max_increase"),
    "latency_ms": ("max", "max_ratio"),
    "disagreement": ("max",),
    "distance": ("max",),
    "accuracy": ("min", "max_decrease"),
    "reward": ("max", "min", "max_increase", "max_decrease"),
    None: ("max", "min", "max_increase", "max_decrease"),
}
"""What a metric can be bounded by; an expression, which is none, by all but a ratio."""

_RATES = frozenset({"error_rate", "deadline_miss_rate", "disagreement", "accuracy"})

_NEVER_OF_SHADOWS = frozenset({"deadline_miss_rate", "latency_ms", "accuracy", "reward"})


class GateConfig(StrictModel, allow_inf_nan=False):
    """A bound that the new version must keep, absolute or against the stable one.

    Metrics: `error_rate` (requests that ended with an error of the model or a lost replica), `deadline_miss_rate`,
    `latency_ms` (a quantile of the whole time in the gateway), `disagreement` (answers whose prediction is another than
    the stable version's), `distance` (mean absolute difference of numeric predictions), `accuracy` and `reward` (from
    feedback), or an `expression` over the counters of `serve_app.release.counts.ArmCounts`.
    """

    metric: (
        Literal["error_rate", "deadline_miss_rate", "latency_ms", "disagreement", "distance", "accuracy", "reward"]
        | None
    ) = None
    expression: str | None = Field(
        default=None,
        max_length=500,
        description="Arithmetic over the counters of one second, e.g. 'refused / requests'; its mean over seconds "
        "with requests is compared.",
    )
    quantile: Share | None = Field(default=None, description="Of latency_ms, e.g. 0.95.")
    max: Number | None = Field(default=None, description="Absolute: not over it.")
    min: Number | None = Field(default=None, description="Absolute: not under it.")
    max_increase: Number | None = Field(default=None, description="Not over the stable version's by more than that.")
    max_decrease: Number | None = Field(default=None, description="Not under the stable version's by more than that.")
    max_ratio: PositiveFloat | None = Field(default=None, description="Of latency_ms: not over so many times stable's.")
    min_requests: PositiveInt = Field(default=100, description="No verdict but failure before so many of the new one.")

    @property
    def name(self) -> str:
        """As people read it: what is measured."""
        if self.metric == "latency_ms":
            return f"latency_ms p{100 * (self.quantile or 0):g}"
        return self.metric or f"{self.expression}"

    @property
    def bound(self) -> tuple[str, float]:
        """The one bound: its kind and its value."""
        for kind in ("max", "min", "max_increase", "max_decrease", "max_ratio"):
            value = getattr(self, kind)
            if value is not None:
                return kind, float(value)
        raise AssertionError("a gate without a bound does not pass its own validation")

    @model_validator(mode="after")
    def _measures_one_thing(self) -> Self:
        if (self.metric is None) == (self.expression is None):
            raise ValueError("needs either metric or expression")
        if (self.quantile is not None) != (self.metric == "latency_ms"):
            raise ValueError("quantile belongs to latency_ms, which needs one")
        if self.expression is not None:
            names_in(self.expression)
        return self

    @model_validator(mode="after")
    def _has_one_bound_that_fits(self) -> Self:
        kinds = ("max", "min", "max_increase", "max_decrease", "max_ratio")
        given = [kind for kind in kinds if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of {', '.join(kinds)}; it has {', '.join(given) or 'none'}")
        if given[0] not in _BOUNDS[self.metric]:
            allowed = " or ".join(_BOUNDS[self.metric])
            raise ValueError(f"{self.metric or 'an expression'} is bounded by {allowed}, not by {given[0]}")
        self._check_limit(*self.bound)
        if given[0] in ("max_increase", "max_decrease") and self.reads_copies:
            raise ValueError(f"{self.name} is measured against the stable version already; bound it by max or min")
        return self

    def _check_limit(self, kind: str, limit: float) -> None:
        """Refuse what no version could keep, or none could break.

        Raises:
            ValueError: The limit is outside of what the metric can be.
        """
        if self.metric in _RATES and kind in ("max", "min"):
            if not (0 <= limit < 1 if kind == "max" else 0 < limit <= 1):
                raise ValueError(f"{kind} of {self.metric} is a share between 0 and 1, not {limit:g}")
        elif self.metric in _RATES and not -1 < limit < 1:
            raise ValueError(f"{kind} of {self.metric} is a difference of shares between -1 and 1, not {limit:g}")
        elif self.metric in ("latency_ms", "distance") and limit < 0:
            raise ValueError(f"{kind} of {self.metric} cannot be under 0, as {limit:g} is")

    @property
    def needs_stable(self) -> bool:
        """Whether there is no verdict without requests of the stable version."""
        return self.bound[0] not in ("max", "min") or self.reads_copies

    @property
    def reads_copies(self) -> bool:
        """Whether it is measured on requests that are copied to the new version."""
        if self.expression is not None:
            return bool(names_in(self.expression) & OF_COPIES)
        return self.metric in COMPARED


class StepConfig(StrictModel, allow_inf_nan=False):
    """A share of the traffic, held until its time is over and every gate has its sample."""

    percent: Annotated[float, Field(gt=0, le=100), NO_BOOLEAN]
    seconds: Seconds = 60.0


class RolloutConfig(StrictModel, allow_inf_nan=False):
    """How `serve-app apply` moves a model's traffic from what runs to what the file says."""

    strategy: Strategy = "blue_green"
    steps: tuple[StepConfig, ...] = Field(
        default=(), description="Of a canary, ascending; after the last one all traffic moves."
    )
    gates: tuple[GateConfig, ...] = ()
    confidence: Share = Field(default=0.95, description="Of all gates together: 1 - the risk of a false rollback.")
    automatic: bool = Field(default=True, description="false waits for `serve-app promote` at the end of each step.")
    keep_for_s: Seconds = Field(default=600.0, description="How long the old version stays warm for a rollback.")
    ready_timeout_s: PositiveFloat = Field(default=300.0, description="How long the new version may take to be ready.")
    shadow_percent: Percent = Field(
        default=100.0, description="Of the stable version's requests that are copied to the new one to compare answers."
    )
    shadow_seconds: Seconds = Field(default=300.0, description="Of the strategy shadow: how long answers are compared.")

    @model_validator(mode="after")
    def _steps_belong_to_a_canary(self) -> Self:
        if (self.strategy == "canary") != bool(self.steps):
            raise ValueError("steps belong to strategy canary, which needs some")
        percents = [step.percent for step in self.steps]
        if percents != sorted(set(percents)):
            raise ValueError(f"the steps' percents must ascend, not be {', '.join(f'{p:g}' for p in percents)}")
        return self

    @model_validator(mode="after")
    def _gates_have_somebody_to_look_at(self) -> Self:
        if self.strategy in ("all-at-once", "blue_green") and self.gates:
            raise ValueError(f"gates have no effect on strategy {self.strategy}, which moves all traffic at once")
        measured = [(gate.name, gate.bound[0]) for gate in self.gates]
        if twice := [name for index, (name, kind) in enumerate(measured) if (name, kind) in measured[:index]]:
            raise ValueError(f"two gates bound {twice[0]} the same way; leave the wider one out")
        for gate in self.gates:
            if self.strategy == "shadow":
                _check_shadow(gate)
            if self.steps and self.steps[-1].percent == 100 and gate.needs_stable:
                raise ValueError(
                    f"the step of 100% leaves no requests to the version that {gate.name} is compared with: end with "
                    "a smaller step, after which all traffic moves anyway"
                )
        return self

    @model_validator(mode="after")
    def _copies_are_wanted(self) -> Self:
        copies = RolloutConfig.model_fields["shadow_percent"].default
        seconds = RolloutConfig.model_fields["shadow_seconds"].default
        if self.shadow_percent != copies and not self.compares:
            raise ValueError("shadow_percent has no effect without strategy shadow or a gate that compares answers")
        if self.shadow_seconds != seconds and self.strategy != "shadow":
            raise ValueError(f"shadow_seconds has no effect on strategy {self.strategy}")
        if self.shadow_percent == 0 and self.compares:
            raise ValueError("shadow_percent 0 copies no request, so that no answers can be compared")
        return self

    @property
    def compares(self) -> bool:
        """Whether requests are copied to the new version to compare its answers."""
        return self.strategy == "shadow" or any(gate.reads_copies for gate in self.gates)


def _check_shadow(gate: GateConfig) -> None:
    if gate.metric in _NEVER_OF_SHADOWS:
        raise ValueError(f"{gate.metric} cannot be known of a shadow, whose answers nobody gets")
    if gate.expression is not None and (unknown := sorted(names_in(gate.expression) - OF_COPIES)):
        raise ValueError(
            f"expression {gate.expression!r} names {unknown[0]!r}, which cannot be known of a shadow; "
            f"there are: {', '.join(sorted(OF_COPIES))}"
        )


class StickyConfig(StrictModel):
    """What keeps a user at one version: the same value always goes the same way, on every gateway replica."""

    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")] | None = Field(
        default=None, description="Name of an HTTP header, or of gRPC metadata."
    )
    cookie: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] | None = None
    tensor: str | None = Field(
        default=None, min_length=1, description="Name of an input; its first element is the value."
    )
    parameter: str | None = Field(default=None, min_length=1, description="Name of a V2 request parameter.")

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if sum(value is not None for value in (self.header, self.cookie, self.tensor, self.parameter)) != 1:
            raise ValueError("needs exactly one of header, cookie, tensor, parameter")
        return self


class ShadowConfig(StrictModel, allow_inf_nan=False):
    """A version that is asked too, and whose answers are compared and never returned."""

    to: Name
    percent: Percent = Field(default=100.0, description="Of the model's requests that are copied.")
    tolerance: Annotated[float, Field(ge=0), NO_BOOLEAN] = Field(
        default=1e-3, description="Numeric predictions that differ by more, relative to their size, disagree."
    )


class ExperimentConfig(StrictModel):
    """An A/B test over the versions that have traffic: users are assigned by `sticky`, metrics kept by version."""

    name: Name
    control: Name = Field(description="The version that the others are compared with.")
    confidence: Share = 0.95

    def window(self, model: str) -> str:
        """The name under which its requests are counted, whatever the versions' weights are."""
        return f"{model}:experiment:{self.name}"
