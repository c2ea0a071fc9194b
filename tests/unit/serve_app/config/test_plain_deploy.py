"""What may surprise at a change of traffic."""

import pytest
from support.release_world import release, serve_file

from serve_app.config.declared import read_declared
from serve_app.config.plain_deploy import deploy_warnings


def warnings(rollout):
    entry = {"traffic": {"v1": 90, "v2": 10}} | ({"rollout": rollout} if rollout else {})
    data = serve_file({"digits": entry}, [release("digits", "v1"), release("digits", "v2")])
    return list(deploy_warnings(read_declared(data)[0]))


@pytest.mark.parametrize(
    "rollout", [{"strategy": "canary", "steps": [{"percent": 5}]}, {"strategy": "shadow"}, {"strategy": "blue_green"}]
)
def test_a_strategy_is_ignored_by_serve_deploy(rollout):
    ((path, message),) = warnings(rollout)
    assert path == ("applications", 0, "deployments", 0, "user_config", "models", "digits", "rollout")
    assert (
        f"ignores strategy {rollout['strategy']}: it moves the traffic of digits to v1 90%, v2 10% at once" in message
    )


@pytest.mark.parametrize("rollout", [None, {"strategy": "all-at-once"}])
def test_what_moves_at_once_anyway_is_no_surprise(rollout):
    assert warnings(rollout) == []


def test_a_file_without_a_table_warns_of_nothing():
    data = serve_file({}, [])
    assert list(deploy_warnings(read_declared(data)[0])) == []


def proxy_warnings(http_options=None, **env_vars):
    data = serve_file({"digits": {"traffic": {"v1": 100}}}, [release("digits", "v1")])
    data["http_options"] = http_options or {}
    data["controller_options"] = {"runtime_env": {"env_vars": env_vars}}
    return list(deploy_warnings(read_declared(data)[0]))


@pytest.mark.parametrize("wait", [{}, {"RAY_SERVE_HAPROXY_BROADCAST_COALESCE_S": "0.5"}])
def test_changes_of_a_table_should_not_reach_haproxy(wait):
    ((path, message),) = proxy_warnings(RAY_SERVE_ENABLE_HA_PROXY="1", **wait)
    assert path == ("controller_options", "runtime_env", "env_vars", "RAY_SERVE_ENABLE_HA_PROXY")
    assert 'RAY_SERVE_HAPROXY_BROADCAST_COALESCE_S: "2"' in message


def test_where_they_do_not_or_there_is_none_nothing_is_said():
    assert proxy_warnings(RAY_SERVE_ENABLE_HA_PROXY="1", RAY_SERVE_HAPROXY_BROADCAST_COALESCE_S="2") == []
    assert proxy_warnings() == []


def test_a_time_limit_of_serve_that_infer_routes_do_not_have_is_told():
    callback = {"RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "deployments.hot_routes:middlewares"}
    ((path, message),) = proxy_warnings({"request_timeout_s": 5}, **callback)
    assert path == ("http_options", "request_timeout_s")
    assert "limits.timeout_s" in message
    assert proxy_warnings({"request_timeout_s": 5}) == []
    assert proxy_warnings(**callback) == []
