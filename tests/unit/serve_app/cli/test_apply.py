"""`serve-app apply`, as people call it; `test_apply_run.py` has what it does."""

import pytest
import yaml
from support.release_world import World, release, serve_file

from serve_app.cli import apply as module
from serve_app.cli.apply import place_of, wanted_in
from serve_app.cli.output import CommandError
from serve_app.cli.releases import Clock
from serve_app.cli.validate import good_file
from serve_app.config.declared import read_declared

V1 = serve_file({"digits": {"traffic": {"v1": 100}}}, [release("digits", "v1")])
V2 = serve_file({"digits": {"traffic": {"v2": 100}}}, [release("digits", "v2")])
TOKEN = "of-this-test"  # noqa: S105 - of nobody else


@pytest.fixture
def world(monkeypatch):
    with World(token=TOKEN).served() as world:
        monkeypatch.setattr(module, "CLOCK", Clock(lambda: world.now, world.tick))
        monkeypatch.setattr(module, "artifact_checks", list)
        monkeypatch.setenv("SERVE_APP_ADMIN_TOKEN", TOKEN)
        yield world


@pytest.fixture
def apply(run, world, tmp_path):
    def called(data, *options):
        file = tmp_path / "serve.yaml"
        file.write_text(yaml.safe_dump(data, sort_keys=False))
        return run("apply", file, "--url", world.gateway_url, "--dashboard", world.dashboard_url, *options)

    return called


def test_a_plan_is_shown_and_carried_out(apply, world):
    code, out, _ = apply(V1, "--yes")
    assert code == 0
    assert "no gateway runs yet" in out
    code, out, err = apply(V2, "--yes")
    assert (code, err) == (0, "")
    for said in ("digits-v2", "added", "all-at-once", "digits: all-at-once succeeded", "digits-v1: deleted once"):
        assert said in out
    assert world.routings()["digits"]["traffic"] == {"v2": 100}


def test_a_table_without_rows_is_left_out(apply):
    apply(V1, "--yes")
    two = {"digits": {"traffic": {"v1": 100}, "labels": {"best": "v1"}}}
    _, out, _ = apply(serve_file(two, [release("digits", "v1")]), "--yes")
    assert "traffic then" in out
    assert "why" not in out


@pytest.mark.parametrize(("host", "place"), [("127.0.0.1", "http://127.0.0.1:8000"), ("::1", "http://[::1]:8000")])
def test_the_gateway_is_asked_where_the_file_has_it_listen(host, place):
    assert place_of(read_declared({**V1, "http_options": {"host": host, "port": 8000}})[0]) == place


def test_the_gateway_here_is_not_taken_for_another_clusters(run, world, tmp_path):
    (tmp_path / "serve.yaml").write_text(yaml.safe_dump(V1))
    code, _, err = run("apply", tmp_path / "serve.yaml", "--dashboard", "http://10.0.0.5:8265", "--yes")
    assert code == 1
    assert err == (
        "error: the dashboard is at http://10.0.0.5:8265: say by --url where that cluster's gateway answers\n"
    )


def test_nobody_is_asked_where_nobody_can_answer(apply, world):
    code, out, err = apply(V1)
    assert (code, err) == (1, "error: nobody can be asked here whether to do this; say --yes\n")
    assert "digits-v1" in out
    assert world.puts == []


def test_a_file_with_faults_is_not_applied(apply, world):
    code, _, err = apply({**V1, "http_options": {"host": "0.0.0.0"}}, "--yes")  # noqa: S104 - it is the fault
    assert code == 1
    assert "http_options.host" in err
    assert world.puts == []


def test_a_wrong_token_changes_nothing(apply, world, monkeypatch):
    apply(V1, "--yes")
    monkeypatch.setenv("SERVE_APP_ADMIN_TOKEN", "wrong")
    code, _, err = apply(V2, "--yes")
    assert code == 1
    assert err.startswith("error: a wrong token (status 401); give the token by --token-env")
    assert len(world.puts) == 1


def test_a_dashboard_that_does_not_answer_is_named(run, tmp_path, monkeypatch):
    moment = iter(range(0, 10_000, 10))
    monkeypatch.setattr(module, "CLOCK", Clock(lambda: next(moment), lambda _: None))
    monkeypatch.setattr(module, "artifact_checks", list)
    (tmp_path / "serve.yaml").write_text(yaml.safe_dump(V1))
    code, _, err = run("apply", tmp_path / "serve.yaml", "--dashboard", "http://127.0.0.1:9")
    assert code == 1
    assert err.startswith("error: http://127.0.0.1:9 cannot be reached")


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path):
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump(V1))
    declared = good_file(file, [])
    file.write_text("[]")
    with pytest.raises(CommandError, match="has changed while it was read"):
        wanted_in(file, declared)
