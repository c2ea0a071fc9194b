"""`serve-app infer` against a real HTTP server."""

import json

import pytest

METADATA = {
    "name": "iris",
    "versions": ["v1"],
    "platform": "onnx",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
    "outputs": [
        {"name": "scores", "datatype": "FP32", "shape": [-1, 3], "parameters": {"labels": ["a", "b", "c"]}},
        {"name": "label", "datatype": "INT64", "shape": [-1], "parameters": {"labels": ["a", "b", "c"]}},
        {"name": "raw", "datatype": "FP32", "shape": [-1, 10]},
    ],
}
REPLY = {
    "model_name": "iris",
    "model_version": "v1",
    "outputs": [
        {"name": "scores", "datatype": "FP32", "shape": [2, 3], "data": [0.1, 0.7, 0.2, 0.9, 0.05, 0.05]},
        {"name": "label", "datatype": "INT64", "shape": [2], "data": [1, 0]},
        {"name": "raw", "datatype": "FP32", "shape": [2, 10], "data": [[0.5] * 10, [1.5] * 10]},
    ],
}
HEADERS = {"x-request-id": "r-7", "x-model-version": "v1", "server-timing": "gateway;dur=1.5"}


@pytest.fixture
def iris(server):
    server.on("GET", "/v2/models/iris", METADATA)
    server.on("POST", "/v2/models/iris/infer", REPLY, headers=HEADERS)
    return server


def test_the_answer_is_a_table_with_class_names(run, iris):
    code, out, err = run("infer", "iris", "--url", iris.url, "--data", "[[1, 2], [3, 4]]")
    assert (code, err) == (0, "")
    assert "b: 0.7" in out
    assert "1 (b)" in out
    assert "0 (a)" in out
    assert "0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, ... (10 values)" in out
    assert out.splitlines()[-1] == "model iris, version v1, request r-7, timing (ms) gateway;dur=1.5"


def test_the_request_follows_the_models_signature(run, iris):
    run("infer", "iris", "--url", iris.url, "--data", "[1, 2]")
    assert iris.asked[-1] == (
        "POST",
        "/v2/models/iris/infer",
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}]},
    )


def test_a_version_is_asked_for_by_url(run, iris):
    iris.on("GET", "/v2/models/iris/versions/canary", METADATA)
    iris.on("POST", "/v2/models/iris/versions/canary/infer", REPLY)
    code, out, _ = run("infer", "iris", "--version", "canary", "--url", iris.url, "--data", "[[1, 2]]")
    assert code == 0
    assert out.splitlines()[-1] == "model iris, version v1"


def test_rows_come_from_a_file_too(run, iris, tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3,4\n")
    assert run("infer", "iris", "--url", iris.url, "--file", tmp_path / "x.csv")[0] == 0
    assert iris.asked[-1][2]["inputs"][0]["shape"] == [2, 2]


def test_json_is_the_servers_own(run, iris):
    code, out, _ = run("infer", "iris", "--url", iris.url, "--data", "[[1, 2]]", "--json")
    assert (code, json.loads(out)) == (0, REPLY)


def test_a_long_table_is_cut(run, iris):
    outputs = [{"name": "label", "datatype": "INT64", "shape": [60], "data": [0] * 60}]
    iris.on("POST", "/v2/models/iris/infer", {"outputs": outputs})
    _, out, _ = run("infer", "iris", "--url", iris.url, "--data", "[[1, 2]]")
    assert "these are the first 50 rows; --json shows all" in out
    assert "│ 49 " in out
    assert "│ 50 " not in out


@pytest.mark.parametrize("rows", [[], ["--data", "[1]", "--file", "x.csv"]])
def test_rows_are_given_in_exactly_one_way(run, iris, rows):
    code, _, err = run("infer", "iris", "--url", iris.url, *rows)
    assert (code, err) == (1, "error: give the rows with either --file or --data\n")
    assert iris.asked == []


def test_the_servers_sentence_is_the_error(run, iris):
    iris.on("POST", "/v2/models/iris/infer", {"error": "input 'x' has shape [1, 3]"}, status=400)
    code, out, err = run("infer", "iris", "--url", iris.url, "--data", "[[1, 2, 3]]")
    assert (code, out, err) == (1, "", "error: input 'x' has shape [1, 3] (status 400)\n")


def test_an_unknown_model_is_the_servers_404(run, iris):
    code, _, err = run("infer", "nope", "--url", iris.url, "--data", "[1]")
    assert (code, err) == (1, "error: not here (status 404)\n")


def test_an_answer_of_another_protocol_is_an_error(run, iris):
    iris.on("GET", "/v2/models/iris", {"hello": 1})
    code, _, err = run("infer", "iris", "--url", iris.url, "--data", "[1]")
    assert code == 1
    assert err.startswith("error: the server's answer is not one that this command can read")


@pytest.mark.parametrize(("shape", "data"), [([10**12], [1, 2]), ([2, 3], [1, 2]), ([1], [1, 2])])
def test_an_answer_whose_data_does_not_fit_its_shape_is_refused(run, iris, shape, data):
    output = {"name": "label", "datatype": "INT64", "shape": shape, "data": data}
    iris.on("POST", "/v2/models/iris/infer", {"outputs": [output]})
    code, out, err = run("infer", "iris", "--url", iris.url, "--data", "[[1, 2]]")
    assert (code, out) == (1, "")
    assert err == f"error: the answer's output 'label' has shape {shape} and 2 values\n"


def test_of_many_empty_rows_only_the_first_are_made(run, iris):
    output = {"name": "label", "datatype": "INT64", "shape": [10**12, 0], "data": []}
    iris.on("POST", "/v2/models/iris/infer", {"outputs": [output]})
    code, out, _ = run("infer", "iris", "--url", iris.url, "--data", "[[1, 2]]")
    assert code == 0
    assert "these are the first 50 rows" in out


def test_a_name_that_looks_like_markup_is_shown(run, iris):
    output = {"name": "[/x]", "datatype": "BYTES", "shape": [1], "data": ["[red]a"]}
    iris.on("POST", "/v2/models/iris/infer", {"outputs": [output]})
    code, out, _ = run("infer", "iris", "--url", iris.url, "--data", "[[1, 2]]")
    assert code == 0
    assert "[/x]" in out
    assert "[red]a" in out


@pytest.mark.parametrize("timeout_s", ["0", "-1"])
def test_a_wait_takes_time(run, iris, timeout_s):
    assert run("infer", "iris", "--url", iris.url, "--data", "[1, 2]", "--timeout-s", timeout_s)[0] == 2


EXPLANATION = {
    **{"release": "iris-v1", "queue_ms": 0.5, "batch_ms": 0.25, "compute_ms": 2.0, "batch_rows": 4},
    "nodes": [
        {"node": "first", "rows": 2, "batch_rows": 4, "begin_ms": 0.0, "ms": 2.0, "critical_ms": 2.0, "queue_ms": 0.0}
    ],
}


def test_an_explanation_is_asked_for_and_shown(run, iris):
    told = {**REPLY, "parameters": {"explanation": json.dumps(EXPLANATION)}}
    iris.on("POST", "/v2/models/iris/infer", told, headers=HEADERS)
    code, out, _ = run("infer", "iris", "--url", iris.url, "--data", "[[1, 2], [3, 4]]", "--explain")
    assert code == 0
    assert iris.asked[-1][2]["parameters"] == {"explain": True}
    assert "first" in out
    assert "iris-v1: queue 0.500 ms, batch 0.250 ms, compute 2.000 ms of a batch of 4 rows" in out.splitlines()


def test_a_server_that_explains_nothing_is_told(run, iris):
    code, _, err = run("infer", "iris", "--url", iris.url, "--data", "[[1, 2], [3, 4]]", "--explain")
    assert (code, err) == (1, "error: the server's answer has no explanation that this command can read\n")
