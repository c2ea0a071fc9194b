"""What the controller says about releases (`GET /v2/releases`), as programs that read it see it.

Servers may say more than this; what is missing has a default, so that a newer client reads an older server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from serve_app.release.records import Phase, Routing


class GatewayLine(BaseModel):
    """A gateway replica that reports; `age_s` is how long ago it last did."""

    gateway: str
    revision: int = 0
    age_s: float = 0.0


class RoutingLine(BaseModel):
    """Percent by version tag, and version tag by label."""

    traffic: Mapping[str, float] = {}
    labels: Mapping[str, str] = {}

    @property
    def routing(self) -> Routing:
        """The same as the core has it."""
        return Routing(self.traffic, self.labels)


class VersionState(BaseModel):
    """Whether a version can be called, and at how many gateways."""

    ready: bool = False
    reason: str = ""
    gateways: int | None = None


class Verdict(BaseModel):
    """A gate's last word: `outcome` is `pass`, `fail` or that it waits; `sentence` says it with its numbers."""

    gate: str = ""
    bound: str = ""
    outcome: str = ""
    sentence: str = ""


class RolloutState(BaseModel):
    """A rollout, under way or the last one; `percent` is the new version's share now."""

    id: str = ""
    model: str = ""
    strategy: str = ""
    phase: Phase
    step: int = 0
    steps: Any = 0
    percent: float = 0.0
    before: RoutingLine = RoutingLine()
    after: RoutingLine = RoutingLine()
    seconds_in_step: float = 0.0
    verdicts: Sequence[Verdict] = ()
    reason: str = ""
    actor: str = ""
    started_s: float = 0.0
    ended_s: float = 0.0

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> RolloutState:
        """The JSON, whose `from` and `to` are tables or their traffic alone.

        Raises:
            ValidationError: It is no rollout.
        """
        return cls.model_validate(_renamed(document))

    @property
    def step_count(self) -> int:
        """Of how many steps."""
        return self.steps if isinstance(self.steps, int) else len(self.steps or ())


class ModelOverview(BaseModel):
    """One model: what is declared, what is in effect, and how its rollout stands."""

    declared: RoutingLine = RoutingLine()
    traffic: Mapping[str, float] = {}
    labels: Mapping[str, str] = {}
    versions: Mapping[str, VersionState] = {}
    rollout: RolloutState | None = None

    @property
    def live(self) -> Routing:
        """Who answers now."""
        return Routing(self.traffic, self.labels)


class RetirementLine(BaseModel):
    """An application that is deleted in `in_s` seconds."""

    release: str
    in_s: float = 0.0


class EventLine(BaseModel):
    """Something that happened; `time_s` is since 1970."""

    id: str = ""
    time_s: float = 0.0
    kind: str = ""
    model: str = ""
    actor: str = ""
    text: str = ""


class Overview(BaseModel):
    """All of it; `database` is why it cannot be reached, or empty."""

    revision: int = 0
    gateways: Sequence[GatewayLine] = ()
    models: Mapping[str, ModelOverview] = {}
    retirements: Sequence[RetirementLine] = ()
    events: Sequence[EventLine] = ()
    database: str = ""

    @classmethod
    def read(cls, document: object) -> Overview:
        """The JSON.

        Raises:
            ValidationError: It is no status of releases.
        """
        if isinstance(document, Mapping) and isinstance(document.get("models"), Mapping):
            models = {name: _with_rollout(model) for name, model in document["models"].items()}
            document = {**document, "models": models}
        return cls.model_validate(document)


def _with_rollout(model: object) -> object:
    if isinstance(model, Mapping) and isinstance(model.get("rollout"), Mapping):
        return {**model, "rollout": _renamed(model["rollout"])}
    return model


def _renamed(rollout: Mapping[str, Any]) -> dict[str, Any]:
    return {**rollout, "before": _table(rollout.get("from")), "after": _table(rollout.get("to"))}


def _table(value: object) -> object:
    """`{"traffic": …, "labels": …}`; a controller that gives the percents alone says nothing of labels."""
    if isinstance(value, Mapping) and "traffic" not in value:
        return {"traffic": value}
    return value or {}
