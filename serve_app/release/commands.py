"""What people and programs ask of the controller; each is one verb with its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from serve_app.config.base import NO_BOOLEAN, Name, PositiveFloat, StrictModel
from serve_app.config.rollout import Percent, RolloutConfig, Seconds

Text = Annotated[str, Field(max_length=500)]
Actor = Annotated[str, Field(max_length=200, pattern=r"^[\x20-\x7e]*$")]
Replicas = Annotated[int, Field(ge=1, le=1000), NO_BOOLEAN]


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


class Keep(StrictModel):
    """Do not delete applications after all that were to be."""

    verb: Literal["keep"] = "keep"
    releases: tuple[Annotated[str, Field(max_length=300)], ...]
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


class Load(StrictModel):
    """Deploy a model's applications again, as they were when it was unloaded."""

    verb: Literal["load"] = "load"
    model: Name
    actor: Actor = ""


class Unload(StrictModel):
    """Delete a model's applications and remember how they were, traffic or not."""

    verb: Literal["unload"] = "unload"
    model: Name
    actor: Actor = ""


class Register(StrictModel):
    """Deploy a version of a model that the traffic table has already; it gets no traffic unless it is the only one."""

    verb: Literal["register"] = "register"
    model: Name
    version: Name
    source: Annotated[str, Field(min_length=1, max_length=2000)]
    replicas: Replicas = 1
    actor: Actor = ""


class Scale(StrictModel):
    """Give a version so many replicas, without a restart of those there are."""

    verb: Literal["scale"] = "scale"
    model: Name
    version: Name | None = Field(default=None, description="null: the model's only one.")
    min_replicas: Replicas = 1
    max_replicas: Replicas = 1
    actor: Actor = ""

    @model_validator(mode="after")
    def _is_a_range(self) -> Scale:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas {self.min_replicas} is over max_replicas {self.max_replicas}")
        return self


class SetDefault(StrictModel):
    """Give all of a model's traffic to a version that is deployed."""

    verb: Literal["set-default"] = "set-default"
    model: Name
    version: Name
    actor: Actor = ""


class Unregister(StrictModel):
    """Delete a version that has neither traffic nor a label."""

    verb: Literal["unregister"] = "unregister"
    model: Name
    version: Name | None = Field(default=None, description="null: the model's only one.")
    actor: Actor = ""


Verb = Load | Unload | Register | Scale | SetDefault | Unregister
"""What other servers' clients ask for; `serve_app.release.verbs` does it."""

Command = StartRollout | Promote | RollBack | Retire | Keep | Lock | Unlock | Verb
