"""What the controller says about releases (`GET /v2/releases`), as programs that read it see it.

Servers may say more than this; what is missing has a default, so that a newer client reads an older server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, Field

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
    """A gate's last word: `outcome` is one of `verdict.Outcome`; `sentence` says it with its numbers."""

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
    steps: int = 0
    percent: float = 0.0
    before: RoutingLine = Field(default=RoutingLine(), alias="from")
    after: RoutingLine = Field(default=RoutingLine(), alias="to")
    seconds_in_step: float = 0.0
    verdicts: Sequence[Verdict] = ()
    reason: str = ""
    actor: str = ""
    started_s: float = 0.0
    ended_s: float = 0.0


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
