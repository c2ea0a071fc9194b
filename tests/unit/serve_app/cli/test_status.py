"""`serve-app status`."""

import json

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
    assert server.asked == [(*INDEX, {})]


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
