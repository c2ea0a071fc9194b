"""Which releases are called directly."""

from __future__ import annotations

from typing import Any

import pytest

from serve_app.config.scaling import POLICY_PATH
from serve_app.data_plane.direct_calls import socket_path
from serve_app.data_plane.nearby import sockets_of_application

HERE, ELSEWHERE = "node-1", "node-2"


def deployments(*replicas: tuple[str, str], autoscaling: object = None) -> dict[str, dict[str, Any]]:
    """Of `digits-v1`, a graph with a node of its own; (state, node) of the head's replicas."""
    states = [
        {"state": state, "node_id": node, "pid": 10 + at, "replica_id": f"id{at}"}
        for at, (state, node) in enumerate(replicas)
    ]
    config = {"autoscaling_config": autoscaling} if autoscaling else {}
    node = {"state": "RUNNING", "node_id": ELSEWHERE, "pid": 99, "replica_id": "node"}
    return {
        "embed": {"deployment_config": {}, "replicas": [node]},
        "digits": {"deployment_config": config, "replicas": states},
    }


def found(*replicas: tuple[str, str], autoscaling: object = None):
    return sockets_of_application("digits-v1", deployments(*replicas, autoscaling=autoscaling), HERE)


def test_all_running_replicas_of_the_head_on_the_gateways_own_machine():
    states = [("RUNNING", HERE), ("STARTING", ELSEWHERE), ("RUNNING", HERE), ("STOPPING", HERE)]
    assert found(*states) == [socket_path(10, "id0"), socket_path(12, "id2")]


def test_also_those_that_are_tuned_or_whose_machine_is_about_to_go():
    states = [("UPDATING", HERE), ("PENDING_MIGRATION", HERE), ("RECOVERING", HERE)]
    assert found(*states) == [socket_path(10, "id0"), socket_path(11, "id1")]
    assert found(("RUNNING", HERE), ("UPDATING", ELSEWHERE)) == []


def test_none_where_one_is_on_another_machine():
    assert found(("RUNNING", HERE), ("RUNNING", ELSEWHERE)) == []


def test_none_where_there_is_no_replica():
    assert found(("STARTING", HERE)) == []
    assert sockets_of_application("digits-v1", {}, HERE) == []


@pytest.mark.parametrize("path", [POLICY_PATH, POLICY_PATH.replace(":", ".")])
def test_our_policy_goes_by_rows(path):
    autoscaling = {"min_replicas": 1, "policy": {"policy_function": path}}
    assert found(("RUNNING", HERE), autoscaling=autoscaling) == [socket_path(10, "id0")]


@pytest.mark.parametrize("policy", [{}, {"policy": {"policy_function": "ray.serve.autoscaling_policy:default"}}])
def test_a_policy_that_counts_calls_has_them_go_by_handle(policy):
    assert found(("RUNNING", HERE), autoscaling={"min_replicas": 1, **policy}) == []
