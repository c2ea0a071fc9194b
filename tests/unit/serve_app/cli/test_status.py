"""`serve-app status`."""

import io
import json

import pytest
from rich.console import Console

from serve_app.cli import status as module
from serve_app.cli.releases import Releases
from serve_app.cli.server import Server

RELEASES = ("GET", "/v2/releases")
INDEX = ("POST", "/v2/repository/index")
READY = {"name": "digits", "version": "v1", "state": "READY", "reason": "", "traffic": 90, "labels": ["stable"]}
LOADING = {"name": "digits", "version": "v2", "state": "LOADING", "reason": "warming up", "traffic": 10, "labels": []}
SPARE = {"name": "wine", "version": "v1", "state": "UNAVAILABLE", "reason": "not deployed", "traffic": 0, "labels": []}


def test_all_versions_stand_in_a_table(run, server):
    server.on(*INDEX, [READY, SPARE])
    code, out, err = run("status", "--url", server.url)
    assert (code, err) == (0, "")
    line = next(line for line in out.splitlines() if "digits" in line)
    assert line.split()[1:9:2] == ["digits", "v1", "READY", "90%"]
    assert "stable" in out
    assert "not deployed" in out
    assert server.asked == [(*RELEASES, None), (*INDEX, {})]


def test_a_version_that_should_get_traffic_and_is_not_ready_is_an_error(run, server):
    server.on(*INDEX, [READY, LOADING, SPARE])
    code, out, err = run("status", "--url", server.url)
    assert code == 1
    assert "LOADING" in out
    assert err == "digits v2 should get 10% and is LOADING: warming up\n"


def test_json_is_the_servers_own(run, server):
    server.on(*INDEX, [{**READY, "more": 1}])
    code, out, _ = run("status", "--url", server.url, "--json")
    assert code == 0
    assert json.loads(out) == [{**READY, "more": 1}]


def test_a_plain_v2_index_is_enough(run, server):
    server.on(*INDEX, [{"name": "a", "version": "1", "state": "READY", "reason": ""}])
    assert run("status", "--url", server.url)[0] == 0


def test_another_kind_of_answer_is_an_error(run, server):
    server.on(*INDEX, {"models": []})
    code, _, err = run("status", "--url", server.url)
    assert (code, err) == (1, "error: the server's repository index is not one that this command can read\n")


def test_a_wait_takes_time(run, server):
    assert run("status", "--url", server.url, "--timeout-s", "-1")[0] == 2
    assert server.asked == []


ROLLOUT = {"id": "1", "strategy": "canary", "phase": "running", "steps": 2, "percent": 5, "seconds_in_step": 3}
DIGITS = {
    "declared": {"traffic": {"v1": 100, "v2": 0}, "labels": {"stable": "v1"}},
    "traffic": {"v1": 95, "v2": 5},
    "labels": {"stable": "v1"},
    "versions": {"v1": {"ready": True, "reason": "", "gateways": 1}, "v2": {"ready": True}},
    "rollout": ROLLOUT,
}
STATUS = {"revision": 3, "models": {"digits": DIGITS}, "events": [], "database": ""}


def test_a_server_with_a_controller_tells_declared_and_live_traffic_and_rollouts(run, server):
    server.on(*RELEASES, STATUS)
    code, out, err = run("status", "--url", server.url)
    assert (code, err) == (0, "")
    line = next(line for line in out.splitlines() if "v2" in line)
    assert line.replace("\u2502", " ").split() == ["digits", "v2", "ready", "0%", "5%", "-"]
    assert "digits  [#.......................]  canary step 1/2 at 5%, for 3 s" in out
    assert server.asked == [(*RELEASES, None)]


def test_a_version_with_live_traffic_that_is_not_ready_is_an_error(run, server):
    versions = {**DIGITS["versions"], "v2": {"ready": False, "reason": "replica lost"}}
    server.on(*RELEASES, {**STATUS, "models": {"digits": {**DIGITS, "versions": versions}}, "database": "disk full"})
    code, _, err = run("status", "--url", server.url)
    assert code == 1
    assert err.splitlines() == [
        "the database of releases is away: disk full",
        "digits v2 should get 5% and is not ready: replica lost",
    ]


def test_json_of_a_controller_is_its_own(run, server):
    server.on(*RELEASES, {**STATUS, "more": 1})
    code, out, _ = run("status", "--url", server.url, "--json")
    assert (code, json.loads(out)) == (0, {**STATUS, "more": 1})


def test_while_the_controller_is_away_the_gateways_own_view_is_shown(run, server):
    server.on(*RELEASES, {"error": "the controller is away"}, status=503)
    server.on(*INDEX, [READY])
    code, out, err = run("status", "--url", server.url)
    assert code == 0
    assert "90%" in out
    assert err == "the controller is away (status 503); what follows is the gateway's own view\n"


def test_another_kind_of_status_is_an_error(run, server):
    server.on(*RELEASES, {"models": 1})
    assert run("status", "--url", server.url)[0] == 1


def watched(server, seconds=2):
    """Watches until the server has been away for a while; gives the waits."""
    slept = []

    def sleep(waited_s):
        slept.append(waited_s)
        if len(slept) == seconds:
            raise KeyboardInterrupt
        server.on(*RELEASES, {"error": "away"}, status=503)

    with Server(server.url, 5) as client:
        module._watch(Releases(client), sleep)
    return slept


def test_a_watch_redraws_until_it_is_interrupted(server, monkeypatch):
    server.on(*RELEASES, STATUS)
    drawn = io.StringIO()
    monkeypatch.setattr(module, "stdout_console", lambda: Console(file=drawn, force_terminal=True, width=100))
    assert watched(server) == [1.0, 1.0]
    assert "away (status 503)" in drawn.getvalue()


def test_a_watch_without_a_terminal_writes_what_changes_as_it_does(server, capsys):
    server.on(*RELEASES, STATUS)
    assert watched(server, seconds=4) == [1.0] * 4
    out = capsys.readouterr().out
    assert out.count("declared") == 1
    assert out.count("away (status 503)") == 1


def test_a_watch_is_not_for_programs(run, server):
    code, _, err = run("status", "--url", server.url, "--watch", "--json")
    assert (code, err) == (1, "error: --watch draws and --json is for programs: give one of them\n")


def test_there_is_nothing_to_watch_without_a_controller(run, server):
    code, _, err = run("status", "--url", server.url, "--watch")
    assert code == 1
    assert "has no controller of releases" in err


@pytest.mark.parametrize("option", ["--watch", "--json"])
def test_help_tells_the_options(run, option):
    assert option in run("status", "--help")[1]


def test_what_anyone_may_read_is_asked_for_without_the_clusters_token(run, server, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of-the-cluster")
    run("status", "--url", server.url)
    assert set(server.tokens) == {None}
