"""How a model's traffic moves to a new version: the strategy, its steps, and the gates between them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from serve_app.config.base import NO_BOOLEAN, Name, Number, PositiveFloat, PositiveInt, StrictModel
from serve_app.config.expression import names_in

Percent = Annotated[float, Field(ge=0, le=100), NO_BOOLEAN]
Share = Annotated[float, Field(gt=0, lt=1), NO_BOOLEAN]
Seconds = Annotated[float, Field(ge=0), NO_BOOLEAN]

Strategy = Literal["all-at-once", "blue_green", "canary", "shadow"]

COMPARED = frozenset({"disagreement", "distance"})
"""Metrics that need the same request answered by both versions."""


class GateConfig(StrictModel):
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
        if self.metric == "latency_ms" and given[0] not in ("max", "max_ratio"):
            raise ValueError(f"latency_ms is bounded by max or max_ratio, not by {given[0]}")
        if self.metric != "latency_ms" and given[0] == "max_ratio":
            raise ValueError("max_ratio is for latency_ms; others are bounded by max_increase")
        if self.metric in COMPARED and given[0] != "max":
            raise ValueError(f"{self.metric} is measured against the stable version already; bound it by max")
        return self


class StepConfig(StrictModel):
    """A share of the traffic, held until its time is over and every gate has its sample."""

    percent: Annotated[float, Field(gt=0, le=100), NO_BOOLEAN]
    seconds: Seconds = 60.0


class RolloutConfig(StrictModel):
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
        if self.strategy == "shadow":
            for gate in self.gates:
                if gate.metric in ("accuracy", "reward"):
                    raise ValueError(f"{gate.metric} cannot be known of a shadow, whose answers nobody gets")
        return self

    @property
    def compares(self) -> bool:
        """Whether requests are copied to the new version to compare its answers."""
        return self.strategy == "shadow" or any(gate.metric in COMPARED for gate in self.gates)


class StickyConfig(StrictModel):
    """What keeps a user at one version: the same value always goes the same way, on every gateway replica."""

    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")] | None = Field(
        default=None, description="Name of an HTTP header, or of gRPC metadata."
    )
    cookie: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] | None = None
    tensor: str | None = Field(default=None, description="Name of an input; its first element is the value.")
    parameter: str | None = Field(default=None, description="Name of a V2 request parameter.")

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if [self.header, self.cookie, self.tensor, self.parameter].count(None) != 3:
            raise ValueError("needs exactly one of header, cookie, tensor, parameter")
        return self


class ShadowConfig(StrictModel):
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
