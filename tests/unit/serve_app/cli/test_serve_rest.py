"""Serve's REST API."""

import pytest
from support.release_world import World, serve_file

from serve_app.cli.output import CommandError
from serve_app.cli.serve_rest import ServeRest, dashboard, is_here

APPLICATIONS = "/api/serve/applications/"


@pytest.fixture
def rest(server):
    with dashboard(server.url, {"HOME": "/nowhere"}, 5) as client:
        yield ServeRest(client)


def test_what_runs_is_read_with_what_serve_was_started_with(server, rest):
    details = {
        "applications": {
            "a": {"status": "RUNNING", "message": "", "deployed_app_config": {"name": "a"}},
            "b": {"status": "DELETING"},
        },
        "http_options": {"port": 8005},
        "grpc_options": None,
        "proxies": {},
    }
    server.on("GET", APPLICATIONS, details)
    running = rest.running()
    assert running.applications["a"].config == {"name": "a"}
    assert (running.applications["b"].status, running.applications["b"].config) == ("DELETING", None)
    assert running.options == {"http_options": {"port": 8005}}


def test_why_something_failed_is_what_its_deployments_say(server, rest):
    trace = (
        "The deployment failed to start 3 times in a row:\nTraceback (most recent call last):\nValueError: no weights"
    )
    application = {
        "status": "DEPLOY_FAILED",
        "message": "Failed to update the deployments ['digits'].",
        "deployments": {"digits": {"message": trace}, "other": {"message": ""}},
    }
    server.on("GET", APPLICATIONS, {"applications": {"digits-v2": application}})
    assert rest.running().applications["digits-v2"].message == "ValueError: no weights"


def test_what_is_deployed_is_sent_as_it_is():
    with World().served() as world, dashboard(world.dashboard_url, {"HOME": "/nowhere"}, 5) as server:
        config = serve_file({"digits": {"traffic": {"v1": 100}}}, [])
        ServeRest(server).deploy(config)
        assert world.applications["gateway"]["config"] == config["applications"][0]


def test_a_refusal_says_what_serve_said(server, rest):
    server.on("GET", APPLICATIONS, b"Traceback " + b"x " * 400 + b"\nValueError: the reason", status=400)
    with pytest.raises(CommandError, match=r"Serve does not take this \(status 400\): …x .*ValueError: the reason$"):
        rest.running()


def test_a_missing_token_is_explained(server, rest):
    server.on("GET", APPLICATIONS, b"Unauthorized", status=401)
    with pytest.raises(CommandError, match=r"refuses us \(status 401\): set RAY_AUTH_TOKEN"):
        rest.running()


def test_another_server_is_no_dashboard(server, rest):
    server.on("GET", APPLICATIONS, {"hello": 1})
    with pytest.raises(CommandError, match="answers as no Ray dashboard does"):
        rest.running()


@pytest.mark.parametrize(
    ("url", "here"),
    [
        *(("http://127.0.0.1:8265", True), ("http://[::1]:8265", True), ("http://localhost", True)),
        *(("http://10.0.0.5:8265", False), ("https://models.example", False), ("http://a:b", False)),
    ],
)
def test_what_is_here_is_told_from_other_machines(url, here):
    assert is_here(url) is here


def test_an_address_is_a_url():
    with pytest.raises(CommandError, match=r"not be '127\.0\.0\.1:8265'"):
        dashboard("127.0.0.1:8265", {}, 5)
