"""Serve files against the model versions they name."""

import hashlib

import pytest
import yaml

from serve_app.cli.artifacts import artifact_findings

ARTIFACT = b"not really a model"
DIGEST = hashlib.sha256(ARTIFACT).hexdigest()


@pytest.fixture
def version(tmp_path):
    """Write a version's directory; returns its path."""

    def write(**changes):
        manifest = {
            "format": "onnx",
            "artifact": "model.bin",
            "sha256": DIGEST,
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1]}],
            **changes,
        }
        kept = {key: value for key, value in manifest.items() if value is not None}
        (tmp_path / "model.yaml").write_text(yaml.safe_dump(kept))
        (tmp_path / "model.bin").write_bytes(ARTIFACT)
        return str(tmp_path)

    return write


def found(source, ongoing=4096, **args):
    release = {
        "name": "m-v1",
        "import_path": "graphs.inference:build",
        "args": {"model": "m", "version": "v1", "source": source, **args},
    }
    gateway = {
        "name": "gateway",
        "import_path": "graphs.gateway:build",
        "deployments": [{"name": "Gateway", "max_ongoing_requests": ongoing}],
    }
    return list(artifact_findings({"applications": [gateway, release]}))


SOURCE = ("applications", 1, "args", "source")


def test_a_whole_version_has_no_findings(version):
    assert found(version()) == []


def test_a_missing_version_is_found(tmp_path):
    ((path, message),) = found(str(tmp_path / "none"))
    assert (path, message) == (SOURCE, f"{tmp_path}/none: is not a directory")


def test_a_tampered_artifact_is_found(version, tmp_path):
    source = version()
    (tmp_path / "model.bin").write_bytes(b"tampered")
    ((path, message),) = found(source)
    assert path == SOURCE
    assert message.endswith(f"the manifest says {DIGEST}")


def test_all_faults_of_a_manifest_stand_on_one_line(version):
    ((path, message),) = found(version(inputs=[], outputs=[]))
    assert path == SOURCE
    assert "\n" not in message
    assert "inputs" in message
    assert "outputs" in message


@pytest.mark.parametrize("kind", ["pickle", "joblib", "torchscript"])
def test_an_artifact_that_runs_code_must_be_trusted_by_digest(version, kind):
    source = version(format=kind)
    ((path, message),) = found(source)
    assert path == SOURCE
    assert f"add {DIGEST} to the release's trusted_sha256" in message
    assert len(found(source, trusted_sha256=["b" * 64])) == 1
    assert found(source, trusted_sha256=[DIGEST]) == []


def test_a_class_is_named_for_python_and_for_nothing_else(version):
    python = {"format": "python", "artifact": None, "sha256": None}
    assert found(version(), python_class="a:B") == [(SOURCE, "a model of format onnx takes no python_class")]
    assert found(version(**python)) == [(SOURCE, "a model of format python needs python_class")]
    assert found(version(**python), python_class="a:B") == []


def test_a_batch_size_from_the_manifest_must_be_reachable_too(version):
    source = version(batching={"max_rows": 32})
    assert found(source, ongoing=32) == []
    ((path, message),) = found(source, ongoing=31)
    assert path == ("applications", 0, "deployments", 0, "max_ongoing_requests")
    assert "a batch of m-v1 (batching.max_rows 32) could never fill" in message
    assert found(source, ongoing=31, batching={"max_rows": 4}) == []


def test_urls_and_unreadable_args_are_left_alone():
    assert found("s3://bucket/m/v1") == []
    assert found("", slo_ms=-1) == []


def test_the_batching_is_checked_as_merged(version):
    source = version(batching={"max_rows": 16})
    assert found(source, batching={"max_queue_rows": 32}) == []
    source = version(batching={"max_queue_rows": 100})
    ((path, message),) = found(source, batching={"max_rows": 4000})
    assert path == ("applications", 1, "args", "batching")
    assert message == "with the manifest's: batching: max_queue_rows 100 < max_rows 4000: a batch could never fill"


def test_settings_without_effect_on_the_format_are_found(version):
    source = version(format="skops")
    assert [path[-1] for path, _ in found(source, accelerator="gpu")] == ["accelerator"]
    assert [path[-2:] for path, _ in found(source, runtime={"precision": "fp16"})] == [("runtime", "precision")]
    assert found(source, accelerator="auto", runtime={"threads": 2}) == []


GRAPH = (*SOURCE[:-1], "graph")
X = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}


def graph_of(*sources, output="a0.y"):
    nodes = [{"kind": "model", "name": f"a{index}", "source": source} for index, source in enumerate(sources)]
    return {"inputs": [X], "nodes": nodes, "outputs": {"y": output}}


def test_a_graphs_nodes_are_opened_and_its_plan_is_made(version, tmp_path):
    source = version()
    assert found("", graph=graph_of(source)) == []
    assert found("", graph=graph_of("memory://far/away", output="a0.anything")) == []
    ((path, message),) = found("", graph=graph_of(source, output="a0.z"))
    assert (path, message) == ((*GRAPH, "outputs", "y"), "'a0.z' is not there; there are: x, a0.y")
    ((path, message),) = found("", graph=graph_of(str(tmp_path / "none")))
    assert (path, message) == ((*GRAPH, "nodes", 0, "source"), f"{tmp_path}/none: is not a directory")
    python = version(format="python", artifact=None, sha256=None)
    ((path, message),) = found("", graph=graph_of(python))
    assert (path, "python_class" in message) == ((*GRAPH, "nodes", 0, "source"), True)


def found_inline(**settings):
    table = {"models": {"m": {"traffic": {"v1": 100}, "inline": {"v1": settings}}}}
    entry = {"name": "Gateway", "max_ongoing_requests": 16, "num_replicas": 4, "user_config": table}
    gateway = {"name": "gateway", "import_path": "graphs.gateway:build", "deployments": [entry]}
    return list(artifact_findings({"applications": [gateway]}))


def test_what_is_inline_is_opened_too(version, tmp_path):
    home = ("applications", 0, "deployments", 0, "user_config", "models", "m", "inline", "v1")
    assert found_inline(source=version(batching={"max_rows": 16})) == []
    ((path, message),) = found_inline(source=str(tmp_path / "none"))
    assert (path, message) == ((*home, "source"), f"{tmp_path}/none: is not a directory")
    ((path, message),) = found_inline(graph=graph_of(version(), output="a0.z"))
    assert path == (*home, "graph", "outputs", "y")
    ((path, message),) = found_inline(source=version(batching={"max_rows": 32}))
    assert path == ("applications", 0, "deployments", 0, "max_ongoing_requests")


def test_what_is_wrong_with_a_coded_graph_stands_at_what_names_its_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where the samples are not
    coded = {"import_path": "graphs.digits_cascade:build", "args": {"model": "m", "version": "v1"}}
    path = ("applications", 0, "import_path")
    assert list(artifact_findings({"applications": [coded]})) == [
        (path, f"nodes.{index}.source: models/{name}/v1: is not a directory")
        for index, name in enumerate(("digits", "digits-conv"))
    ]


def transform(**step):
    node = {"kind": "transform", "name": "t", "input": "x", "steps": [{"op": "scale"}, step]}
    return {"inputs": [X], "nodes": [node], "outputs": {"y": "t.y"}}


def test_a_function_is_looked_up_unless_the_release_brings_its_own_environment():
    step = {"op": "function", "function": "nowhere_at_all:f", "datatype": "FP32", "shape": [-1]}
    args = {"model": "m", "version": "v1", "graph": transform(**step)}
    release = {"name": "m-v1", "import_path": "graphs.inference:build", "args": args}
    at = ("applications", 0, "args", "graph", "nodes", 0, "steps", 1, "function")
    assert list(artifact_findings({"applications": [release]})) == [
        (at, "there is no module 'nowhere_at_all' to import")
    ]
    brought = {**release, "runtime_env": {"py_modules": ["own.zip"]}}
    assert list(artifact_findings({"applications": [brought]})) == []


def test_a_tokenizer_that_is_not_there_is_found():
    graph = {
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "nodes": [
            {
                "kind": "transform",
                "name": "t",
                "input": "text",
                "steps": [{"op": "tokenise", "tokenizer": "none/tokenizer.json", "max_length": 8}],
            }
        ],
        "outputs": {"y": "t.input_ids"},
    }
    ((path, message),) = found("", graph=graph)
    assert path == (*GRAPH, "nodes", 0, "steps", 0)
    assert message == "tokenise: there is no file 'none/tokenizer.json'"


def test_what_no_node_of_a_graph_has_a_use_for_is_found(version):
    runtime, graph = {"precision": "fp16"}, graph_of(version())
    assert [path[-2:] for path, _ in found("", graph=graph, runtime=runtime)] == [("runtime", "precision")]
    python = {"kind": "python", "name": "p", "python_class": "json:JSONDecoder", "inputs": {"x": "a0.y"}}
    both = {**graph, "nodes": [*graph["nodes"], {**python, "outputs": [{**X, "name": "z"}]}], "outputs": {"y": "p.z"}}
    assert found("", graph=both, runtime={"threads": 2}) == []
