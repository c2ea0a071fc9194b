"""The policy as Ray's controller calls it: with Ray's own context, state and delays."""

from __future__ import annotations

import logging

import pytest
from ray.serve._private.autoscaling_state import _resolve_policy_callable
from ray.serve._private.common import DeploymentID, ReplicaID, TimeStampedValue
from ray.serve.autoscaling_policy import _apply_autoscaling_config
from ray.serve.config import AutoscalingConfig, AutoscalingContext, AutoscalingPolicy

from serve_app.autoscaling.stats import ReplicaStats

DEPLOYMENT = DeploymentID("m", "m-v1")
REPLICA = ReplicaID("r1", DEPLOYMENT)
CONFIG = {
    "min_replicas": 1,
    "max_replicas": 3,
    "metrics_interval_s": 1,
    "look_back_period_s": 20,
    "upscale_delay_s": 0,
    "downscale_delay_s": 30,
    "policy": {
        "policy_function": "deployments.autoscaling:RowAwarePolicy",
        "policy_kwargs": {"target_utilisation": 0.5},
    },
}


@pytest.fixture(scope="module")
def config():
    with pytest.warns(DeprecationWarning, match="metrics_interval_s"):
        return AutoscalingConfig(**CONFIG)


@pytest.fixture
def policy(config):
    """Ours inside what Ray puts around every policy, after the way it takes to the controller."""
    travelled = AutoscalingPolicy.from_serialized_policy_def(
        CONFIG["policy"], config.policy.get_serialized_policy_def()
    )
    return _apply_autoscaling_config(_resolve_policy_callable(travelled))


def context(config, now, load, state, **more):
    """One replica with 20 reports up to now, all of the same load."""
    stats = ReplicaStats(0.0, 100 * load, load, 0.0, 100.0)
    metrics = {
        name: {REPLICA: [TimeStampedValue(now - 19 + at, getattr(stats, name)) for at in range(20)]}
        for name in ReplicaStats.__slots__
    }
    given = {
        "deployment_id": DEPLOYMENT,
        "deployment_name": "m",
        "app_name": "m-v1",
        "current_num_replicas": 1,
        "target_num_replicas": 1,
        "running_replicas": [REPLICA],
        "total_num_requests": 3.0,
        "total_queued_requests": 0.0,
        "aggregated_metrics": None,
        "raw_metrics": lambda: {"running_requests": {}, **metrics},
        "capacity_adjusted_min_replicas": 1,
        "capacity_adjusted_max_replicas": 3,
        "policy_state": state,
        "last_scale_up_time": None,
        "last_scale_down_time": None,
        "current_time": now,
        "config": config,
        **more,
    }
    return AutoscalingContext(**given)


def settled(policy, config):
    """The state after the replicas have been known for a minute."""
    _, state = policy(context(config, 1000.0, 0.1, {}))
    return state


def test_the_arguments_and_the_reports_reach_the_decision(policy, config, caplog):
    state = settled(policy, config)
    with caplog.at_level(logging.INFO, logger="ray.serve"):
        wanted, state = policy(context(config, 1060.0, 0.7, state))
    assert wanted == 2
    assert [record.message for record in caplog.records] == [
        "m-v1 needs 2 replica(s): each of 1 has 0.70 of what it could execute"
    ]
    assert policy(context(config, 1063.0, 0.4, state))[0] == 1


def test_what_was_decided_is_kept_beside_rays_own_state(policy, config):
    state = settled(policy, config)
    assert state["running"] == frozenset({"r1"})
    assert any(key.startswith("__decision") for key in state)


def test_without_reports_the_replicas_stay(policy, config):
    assert policy(context(config, 1.0, 0.0, {}, raw_metrics={}, target_num_replicas=2))[0] == 2


def test_a_fault_of_ours_never_reaches_the_controller(policy, config, caplog):
    broken = context(config, 1.0, 0.0, {"latest": 5.0}, raw_metrics=None, target_num_replicas=2)
    with caplog.at_level(logging.ERROR, logger="ray.serve"):
        count, state = policy(broken)
    assert (count, state["latest"]) == (2, 5.0)
    assert "m-v1 keeps its replicas: no decision could be made" in caplog.text
