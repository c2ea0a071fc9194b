"""`serve-app rollback`."""

import copy

import pytest
from support.release_world import World, release, serve_file

from serve_app.cli import rollback as module
from serve_app.cli import serve_rest
from serve_app.cli.output import CommandError
from serve_app.cli.releases import Clock, Releases
from serve_app.cli.rollback import until_back
from serve_app.cli.server import Server
from serve_app.release.overview import RolloutState

NOW = {"digits": {"traffic": {"v2": 100}, "labels": {"stable": "v2"}}, "wine": {"traffic": {"v1": 100}}}
BEFORE = {"traffic": {"v1": 100}, "labels": {"stable": "v1"}}
RELEASES = [release("digits", "v1"), release("digits", "v2"), release("wine", "v1")]


@pytest.fixture
def world():
    with World().served() as world:
        world.deploy(serve_file(NOW, RELEASES))
        world.tick()
        rollout = {"id": "1", "model": "digits", "phase": "succeeded", "from": BEFORE, "to": NOW["digits"]}
        world.rollouts["digits"] = rollout
        world.puts.clear()
        yield world


def test_the_old_traffic_is_back_and_declared(run, world):
    code, out, err = run("rollback", "digits", "--url", world.gateway_url, "--dashboard", world.dashboard_url)
    assert (code, err) == (0, "")
    assert out.startswith("digits: v1:100%  stable=v1, after 0.")
    assert out.endswith("digits: declared to Serve too\n")
    assert world.entries() == {
        "digits": {"traffic": {"v2": 0, "v1": 100}, "labels": {"stable": "v1"}},
        "wine": NOW["wine"],
    }
    assert world.puts == [["digits-v1", "digits-v2", "gateway", "wine-v1"]]
    assert world.jumps == []


def test_without_the_dashboard_the_traffic_is_back_all_the_same(run, world):
    before = copy.deepcopy(world.entries())
    code, out, err = run("rollback", "digits", "--url", world.gateway_url, "--dashboard", "http://127.0.0.1:9")
    assert code == 0
    assert "v1:100%" in out
    assert err.startswith(
        "warning: the old traffic is in effect, but it could not be declared to Serve: http://127.0.0.1:9"
    )
    assert world.entries() == before


def test_the_cluster_here_is_not_taken_for_the_gateways(run, world, monkeypatch):
    monkeypatch.setattr(serve_rest, "is_here", lambda _: False)
    code, out, err = run("rollback", "digits", "--url", world.gateway_url)
    assert code == 0
    assert "v1:100%" in out
    assert f"could not be declared to Serve: --dashboard does not say where that of {world.gateway_url} is" in err
    assert world.puts == []


def test_a_model_that_never_moved_cannot_go_back(run, world):
    code, out, err = run("rollback", "wine", "--url", world.gateway_url, "--reason", "odd answers")
    assert (code, out, err) == (1, "", "error: wine has had no rollout (status 409)\n")
    assert world.commands[0]["reason"] == "odd answers"


def test_a_gateway_that_does_not_follow_is_waited_for_and_then_named(world):
    status = world.status
    world.status = lambda: {**status(), "revision": 2}
    rollout = RolloutState.model_validate({**world.rollouts["digits"], "from": {"traffic": {"v2": 100}}})
    clock = Clock(lambda: world.now, world.tick)
    with Server(world.gateway_url, 5) as server, pytest.raises(CommandError, match="has not got its old traffic back"):
        until_back(Releases(server), "digits", rollout, clock)
    assert world.now >= 1000 + module._PATIENCE_S
