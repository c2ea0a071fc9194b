"""`serve-app experiment show`."""

import json

METRIC = {"metric": "reward", "arm": "v1", "n": 10, "value": 1.5, "low": 1.0, "high": 2.0}
TREATED = {**METRIC, "arm": "v2", "value": 2.5, "low": 2.0, "high": 3.0}
TREATED |= {"difference": 1.0, "difference_low": 0.5, "difference_high": 1.5}
EMPTY = {"metric": "accuracy", "arm": "v1", "n": 0, "value": None, "low": None, "high": None}
REPORT = {"name": "ab", "model": "digits", "control": "v1", "confidence": 0.95, "metrics": [METRIC, TREATED, EMPTY]}


def test_metrics_stand_in_a_table_and_in_a_plot(run, server):
    server.on("GET", "/v2/experiments/ab", REPORT)
    code, out, err = run("experiment", "show", "ab", "--url", server.url)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "ab: digits, control v1, 95% intervals"
    assert "[0.5, 1.5]" in out
    assert "|-----------o-----------|" in out
    assert "accuracy" in out


def test_json_is_the_servers_own(run, server):
    server.on("GET", "/v2/experiments/ab", {**REPORT, "more": 1})
    assert json.loads(run("experiment", "show", "ab", "--url", server.url, "--json")[1]) == {**REPORT, "more": 1}


def test_a_picture_is_written(run, server, tmp_path):
    server.on("GET", "/v2/experiments/ab", REPORT)
    code, _, _ = run("experiment", "show", "ab", "--url", server.url, "--svg", tmp_path / "ab.svg")
    assert code == 0
    assert (tmp_path / "ab.svg").read_text().startswith("<svg")
    code, _, err = run("experiment", "show", "ab", "--url", server.url, "--svg", tmp_path / "none/ab.svg")
    assert (code, err) == (1, f"error: {tmp_path}/none/ab.svg cannot be written: No such file or directory\n")


def test_an_unknown_experiment_is_the_servers_sentence(run, server):
    server.on("GET", "/v2/experiments/x", {"error": "there is no experiment 'x'"}, status=409)
    code, _, err = run("experiment", "show", "x", "--url", server.url)
    assert (code, err) == (1, "error: there is no experiment 'x' (status 409)\n")


def test_what_anyone_may_read_is_asked_for_without_the_clusters_token(run, server, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of-the-cluster")
    run("experiment", "show", "layout", "--url", server.url)
    assert set(server.tokens) == {None}
