"""`serve-app show`."""

import json
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest
import yaml
from support.versions import doubling, write_version

from serve_app.cli.show import line
from serve_app.config.release import ReleaseArgs
from serve_app.graph.outline import outline_of_model
from serve_app.graph.placement import Placement

AUTO = (
    "auto: it asks for no accelerator, gpu_memory_mib, timeout_ms or retries of its own "
    "(deployments: is not seen here; for scaling of its own it needs placement: own)"
)
X = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}


def release(model, **args):
    path = "graphs.inference:build"
    args = {"model": model, "version": "v1", **args}
    return {"name": f"{model}-v1", "route_prefix": None, "import_path": path, "args": args}


@pytest.fixture
def source(tmp_path):
    profile = {"device": "cpu", "threads": 1, "ms_by_rows": {1: 0.25, 8: 0.5}}
    return str(write_version(tmp_path / "version", doubling(), {"profile": profile}))


@pytest.fixture
def file(tmp_path, source):
    """A serve file with a release of one model and a graph; returns its path."""
    nodes = [
        {"kind": "model", "name": "small", "source": source},
        {"kind": "model", "name": "big", "source": source, "timeout_ms": 50},
        {"kind": "fallback", "name": "safe", "targets": ["big", "small"]},
    ]
    graph = {"inputs": [X], "nodes": nodes, "outputs": {"y": "safe.y"}}
    traffic = {"models": {name: {"traffic": {"v1": 100}} for name in ("one", "many")}}
    gateway = {
        "name": "gateway",
        "route_prefix": "/",
        "import_path": "graphs.gateway:build",
        "deployments": [{"name": "Gateway", "user_config": traffic}],
    }
    applications = [gateway, release("one", source=source), release("many", graph=graph, slo_ms=20)]
    path = tmp_path / "serve.yaml"
    path.write_text(yaml.safe_dump({"http_options": {"host": "127.0.0.1"}, "applications": applications}))
    return path


def test_graphs_are_trees_and_releases_of_one_model_are_lines(run, file, source):
    code, out, err = run("show", file)
    assert (code, err) == (0, "")
    time = "time   0.25 ms for 1 row, 0.5 ms for 8 rows (when it was added, on cpu, 1 thread)"
    assert [text.rstrip() for text in out.splitlines()] == [
        f"one-v1  onnx  {source}  x FP32 [-1, 2] -> y FP32 [-1, 2]  {time}",
        "many-v1  slo_ms 20",
        "├── takes  x FP32 [-1, 2]",
        "├── safe  fallback",
        "│   ├── fused  what combines or routes is in its graph's process",
        "│   ├── gives  y FP32 [-1, 2]",
        f"│   ├── small  model  onnx  {source}  (2.)",
        f"│   │   ├── fused  {AUTO}",
        "│   │   ├── takes  x FP32 [-1, 2]",
        "│   │   ├── gives  y FP32 [-1, 2]",
        f"│   │   └── {time}",
        f"│   └── big  model  onnx  {source}  (1.)",
        "│       ├── own    auto: timeout_ms 50",
        "│       ├── set    timeout_ms 50",
        "│       ├── takes  x FP32 [-1, 2]",
        "│       ├── gives  y FP32 [-1, 2]",
        f"│       └── {time}",
        "└── gives  y = safe.y FP32 [-1, 2]",
    ]


def test_one_release_may_be_asked_for(run, file):
    assert run("show", file, "one-v1")[1].startswith("one-v1  onnx")
    code, out, err = run("show", file, "one-v2")
    assert (code, out, err) == (1, "", f"error: {file} has no release 'one-v2'; it has: one-v1, many-v1\n")


def test_releases_inside_the_gateway_are_shown_as_such(run, file, source):
    document = yaml.safe_load(file.read_text())
    nodes = [{"kind": "model", "name": "only", "source": source}]
    graph = {"inputs": [X], "nodes": nodes, "outputs": {"y": "only.y"}}
    table = {"traffic": {"v1": 50, "v2": 50}, "inline": {"v1": {"source": source}, "v2": {"graph": graph}}}
    document["applications"][0]["deployments"][0]["user_config"]["models"]["near"] = table
    file.write_text(yaml.safe_dump(document))
    code, out, err = run("show", file, "near-v1")
    assert (code, err) == (0, "")
    assert out.startswith(f"near-v1  accelerator cpu  gateway inline  onnx  {source}  x FP32")
    assert "gateway inline auto: its release is inline in the gateway's table" in run("show", file, "near-v2")[1]


def test_a_file_with_faults_is_said_as_validate_says_it(run, file):
    file.write_text(file.read_text().replace("safe.y", "save.y"))
    assert run("show", file) == run("validate", file)
    assert run("show", file)[0] == 1


def test_json_has_nodes_edges_and_reasons(run, file):
    one, many = json.loads(run("show", file, "--json")[1])
    assert (one["is_graph"], many["is_graph"], many["release"]) == (False, True, "many-v1")
    assert [(node["name"], node["placement"], node["reason"]) for node in many["nodes"]] == [
        ("small", "fused", AUTO),
        ("big", "own", "auto: timeout_ms 50"),
        ("safe", "fused", "what combines or routes is in its graph's process"),
    ]
    assert {"begin": "big", "end": "safe", "label": "1.", "is_branch": True} in many["edges"]
    assert many["nodes"][0]["times"][0]["by_rows"] == [{"rows": 1, "ms": 0.25}, {"rows": 8, "ms": 0.5}]


def test_the_files_only_graph_is_drawn(run, file, tmp_path):
    picture = tmp_path / "graph.svg"
    code, out, _ = run("show", file, "--svg", picture)
    assert (code, "many-v1" in out) == (0, True)
    assert "own (auto: timeout_ms 50)" in [text.text for text in fromstring(picture.read_text()).iter() if text.text]  # noqa: S314
    run("show", file, "one-v1", "--svg", picture)
    assert "one-v1" in picture.read_text()


def test_a_picture_that_cannot_be_is_an_error(run, file, tmp_path):
    code, _, err = run("show", file, "--svg", tmp_path / "none/graph.svg")
    assert (code, err) == (1, f"error: {tmp_path}/none/graph.svg cannot be written: No such file or directory\n")
    document = yaml.safe_load(file.read_text())
    second = document["applications"][2]
    document["applications"].append({**second, "name": "many-v2", "args": {**second["args"], "version": "v2"}})
    file.write_text(yaml.safe_dump(document))
    code, _, err = run("show", file, "--svg", tmp_path / "graph.svg")
    assert (code, err) == (1, "error: --svg draws one release; name one of: one-v1, many-v1, many-v2\n")


def test_a_running_servers_times_come_first(run, file, server):
    parameters = {"profile_ms": {"4": 1.5}, "nodes_ms": {"small": {"4": 0.75}}, "device": "cpu"}
    server.on("GET", "/v2/models/many/versions/v1", {"parameters": parameters})
    code, out, err = run("show", file, "many-v1", "--url", server.url)
    assert (code, err) == (0, "")
    times = [text.strip("│├└─ ") for text in out.splitlines() if "time   " in text]
    added = "time   0.25 ms for 1 row, 0.5 ms for 8 rows (when it was added, on cpu, 1 thread)"
    assert times == [
        f"time   1.5 ms for 4 rows (learned at {server.url}, on cpu)",
        f"time   0.75 ms for 4 rows (when {server.url} loaded it, on cpu)",
        added,
        added,
    ]


def test_releases_that_a_server_does_not_have_are_shown_and_said(run, file, server):
    server.on("GET", "/v2/models/one/versions/v1", {"parameters": {"profile_ms": "slow"}})
    code, out, err = run("show", file, "--url", server.url)
    assert (code, "many-v1" in out) == (1, True)
    assert err.splitlines() == [
        f"one-v1 at {server.url}: its metadata is not what this command can read",
        f"many-v1 at {server.url}: not here (status 404)",
    ]


def test_a_v2_server_without_times_is_enough(run, file, server):
    server.on("GET", "/v2/models/one/versions/v1", {"name": "one"})
    assert run("show", file, "one-v1", "--url", server.url)[::2] == (0, "")


def test_a_model_that_is_elsewhere_is_known_once_it_is_loaded():
    args = ReleaseArgs.model_validate({"model": "m", "version": "v1", "source": "s3://bucket/m"})
    outline = outline_of_model(args, None, Placement.FUSED)
    assert line(outline) == "m-v1  s3://bucket/m  its tensors are known once it is loaded"


def test_the_examples_can_be_shown(run):
    root = Path(__file__).parents[4]
    code, out, _ = run("show", root / "configs/prod.yaml")
    assert (code, "digits-cascade-v1" in out) == (0, True)
