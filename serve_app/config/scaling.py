"""Settings of the row-aware autoscaling policy: the `policy_kwargs` of a release's `autoscaling_config`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from serve_app.config.base import NO_BOOLEAN, PositiveFloat, StrictModel

POLICY_PATH = "deployments.autoscaling:RowAwarePolicy"


def is_row_aware(function: object) -> bool:
    """Whether a `policy.policy_function`, as Ray takes it with a colon or a point, names our policy."""
    return isinstance(function, str) and function.replace(":", ".") == POLICY_PATH.replace(":", ".")


class ScalingArgs(StrictModel):
    """When a release gets or loses a replica. The bounds and the delays are Ray's own fields beside the policy."""

    target_utilisation: Annotated[float, Field(gt=0, le=0.95), NO_BOOLEAN] = Field(
        default=0.75, description="Part of what it could execute in full batches that a replica is to be given."
    )
    drain_s: PositiveFloat = Field(
        default=10.0, description="Rows that wait are to be executed within so many seconds, beside those that come."
    )
