"""The policy that Ray's controller asks how many replicas a release needs."""

from __future__ import annotations

import logging
from typing import Any

from ray.serve.config import AutoscalingContext

from serve_app.autoscaling.history import histories, latest
from serve_app.autoscaling.memory import Memory, Situation
from serve_app.autoscaling.policy import decide
from serve_app.config.scaling import ScalingArgs

logger = logging.getLogger("ray.serve")  # the controller's; others of its process are not shown


class RowAwarePolicy:
    """Replicas by the rows that a release's replicas report. A class: Ray gives `policy_kwargs` to classes only.

    Args:
        policy_kwargs: As `ScalingArgs`.
    """

    def __init__(self, **policy_kwargs: object) -> None:
        self._args = ScalingArgs.model_validate(policy_kwargs)

    def __call__(self, context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        """Replicas that there should be, and what is to be kept until the next call."""
        try:
            before = Memory.of(context.policy_state)
            memory = decide(self._args, _situation(context), before)
        except Exception:  # one that gets out keeps Ray from looking after every application of the cluster
            logger.exception("%s keeps its replicas: no decision could be made", context.app_name)
            return context.target_num_replicas, context.policy_state
        if memory.reason and memory.desired != before.desired:
            logger.info("%s needs %d replica(s): %s", context.app_name, memory.desired, memory.reason)
        return memory.desired, memory.as_state()


def _situation(context: AutoscalingContext) -> Situation:
    series = {
        name: {replica.unique_id: points for replica, points in replicas.items()}
        for name, replicas in context.raw_metrics.items()
    }
    return Situation(
        now=context.current_time,
        target=context.target_num_replicas,
        running=frozenset(replica.unique_id for replica in context.running_replicas),
        latest=latest(series),
        reports=lambda: histories(series),
        look_back_s=context.config.look_back_period_s,
        hold_off_s=context.config.downscale_delay_s,
        least=context.capacity_adjusted_min_replicas,
        most=context.capacity_adjusted_max_replicas,
    )
