"""What people and programs ask of the controller; each is one verb with its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from serve_app.config.base import Name, PositiveFloat, StrictModel
from serve_app.config.rollout import Percent, RolloutConfig, Seconds

Text = Annotated[str, Field(max_length=500)]
Actor = Annotated[str, Field(max_length=200, pattern=r"^[\x20-\x7e]*$")]


class StartRollout(StrictModel):
    """Move a model's traffic as a strategy says; answered with the rollout's status.

    The same one that is under way, or has just succeeded, is not started twice.
    """

    verb: Literal["start"] = "start"
    model: Name
    traffic: Mapping[Name, Percent] = Field(min_length=1)
    labels: Mapping[Name, Name] = {}
    rollout: RolloutConfig = RolloutConfig()
    actor: Actor = ""

    @model_validator(mode="after")
    def _weights_sum_up(self) -> StartRollout:
        total = sum(self.traffic.values())
        if abs(total - 100) > 1e-6:
            raise ValueError(f"traffic weights sum up to {total:g}, not to 100")
        return self


class Promote(StrictModel):
    """Go on at the end of a step that waits, or at once with `force`."""

    verb: Literal["promote"] = "promote"
    model: Name
    force: bool = False
    actor: Actor = ""


class RollBack(StrictModel):
    """Give a model back the traffic it had before its last rollout, under way or done."""

    verb: Literal["rollback"] = "rollback"
    model: Name
    reason: Text = ""
    actor: Actor = ""


class Retire(StrictModel):
    """Delete applications later, unless they have traffic by then."""

    verb: Literal["retire"] = "retire"
    releases: tuple[Annotated[str, Field(max_length=300)], ...]
    after_s: Seconds = 0.0
    actor: Actor = ""


class Lock(StrictModel):
    """Get, or keep, the right to apply a file; refused while somebody else has it."""

    verb: Literal["lock"] = "lock"
    owner: Annotated[str, Field(min_length=1, max_length=200)]
    for_s: PositiveFloat = Field(default=30.0, le=600)


class Unlock(StrictModel):
    """Give that right back."""

    verb: Literal["unlock"] = "unlock"
    owner: Annotated[str, Field(min_length=1, max_length=200)]


Command = StartRollout | Promote | RollBack | Retire | Lock | Unlock
