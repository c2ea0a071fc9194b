"""What Ray Serve says about an application, in the words of a repository index."""

from __future__ import annotations

import pytest

from serve_app.data_plane.cluster import ReleaseState, last_sentence, status_of_application

TRACE = """The deployment failed to start 3 times in a row.
Traceback (most recent call last):
  File "/srv/model.py", line 7, in __init__
    raise CheckFailed("digits-v3", "golden 0: label is 3, 4 is expected")
serve_app.errors.CheckFailed: digits-v3: golden 0: label is 3, 4 is expected
"""


@pytest.mark.parametrize(
    ("status", "message", "deployments", "state", "reason"),
    [
        ("RUNNING", "", {"digits": ("", {"RUNNING": 1})}, "READY", ""),
        ("UNHEALTHY", "", {"digits": ("a replica died", {"RUNNING": 1})}, "READY", ""),
        ("DEPLOYING", "", {"digits": ("", {"UPDATING": 1})}, "READY", ""),
        ("RUNNING", "", {"digits": ("", {"PENDING_MIGRATION": 1, "STARTING": 1})}, "READY", ""),
        ("DEPLOYING", "", {"digits": ("", {"RECOVERING": 1})}, "READY", ""),
        ("DEPLOYING", "", {"digits": ("", {"RUNNING": 2}), "scaler": ("", {"RUNNING": 1})}, "READY", ""),
        ("UNHEALTHY", "", {"digits": ("", {"RUNNING": 1}), "scaler": ("", {"RUNNING": 0})}, "READY", ""),
        ("DEPLOYING", "", {"digits": ("", {}), "scaler": ("", {"RUNNING": 1})}, "LOADING", "it is starting"),
        ("DEPLOYING", "", {"digits": (TRACE, {"RUNNING": 0})}, "LOADING", "CheckFailed: digits-v3: golden 0"),
        ("DEPLOYING", "", {}, "LOADING", "it is starting"),
        ("DEPLOY_FAILED", "", {"digits": (TRACE, {"RUNNING": 0})}, "UNAVAILABLE", "CheckFailed: digits-v3: golden 0"),
        ("DEPLOY_FAILED", "no module named graphs", {}, "UNAVAILABLE", "no module named graphs"),
        ("UNHEALTHY", "", {"digits": ("", {"RUNNING": 0})}, "UNAVAILABLE", "the application is unhealthy"),
        ("DELETING", "", {"digits": ("", {"RUNNING": 1})}, "UNAVAILABLE", "the application is deleting"),
        ("NOT_STARTED", "", {}, "UNAVAILABLE", "the application is not started"),
    ],
)
def test_status(status, message, deployments, state, reason):
    found = status_of_application("digits-v1", status, message, deployments)
    assert found.state == ReleaseState(state)
    assert reason in found.reason
    assert bool(found.reason) == bool(reason)


@pytest.mark.parametrize(
    ("application", "head"), [("digits-v1", "digits"), ("digits-x-v1", "digits-x"), ("gateway", "Gateway")]
)
def test_replicas_are_those_of_the_deployment_that_is_called(application, head):
    deployments = {"digits": ("", {"RUNNING": 1}), head: ("", {"RUNNING": 3}), "node": ("", {"RUNNING": 2})}
    assert status_of_application(application, "RUNNING", "", deployments).replicas == 3


def test_replicas_that_are_tuned_or_about_to_move_or_not_asked_again_yet_are_counted():
    states = {"RUNNING": 2, "UPDATING": 1, "PENDING_MIGRATION": 1, "RECOVERING": 1, "STARTING": 1, "STOPPING": 1}
    assert status_of_application("digits-v1", "DEPLOYING", "", {"digits": ("", states)}).replicas == 5


def test_a_trace_gives_its_last_line_only_and_no_module():
    assert last_sentence(TRACE) == "CheckFailed: digits-v3: golden 0: label is 3, 4 is expected"
    assert last_sentence("two\nlines") == "two lines"
    assert last_sentence("") == ""
    assert len(last_sentence("x" * 1000)) == 500


def test_stopping_replicas_are_told_because_they_may_still_answer():
    found = status_of_application("digits-v1", "DEPLOYING", "", {"digits": ("", {"STOPPING": 1, "STARTING": 1})})
    assert (found.state, found.replicas, found.stopping) == (ReleaseState.LOADING, 0, 1)
