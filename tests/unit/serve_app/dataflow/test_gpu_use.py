"""What could use a GPU, by its manifests alone."""

from __future__ import annotations

import pytest
from support.versions import doubling, write_version

from serve_app.config.release import ReleaseArgs
from serve_app.dataflow.gpu_use import can_use_gpu
from serve_app.dataflow.own_nodes import node_args

ONNX, SKOPS = {}, {"format": "skops"}
CODE = {
    "kind": "python",
    "name": "code",
    "python_class": "some.module:Class",
    "inputs": {"x": "x"},
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
}


def version(folder, document) -> str:
    directory = write_version(folder, doubling(), document)
    (directory / "model.onnx").unlink()  # a manifest is enough
    return str(directory)


def release(**changes) -> ReleaseArgs:
    return ReleaseArgs.model_validate({"model": "m", "version": "v1", **changes})


def graph(*nodes, output: str) -> ReleaseArgs:
    x = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
    return release(graph={"inputs": [x], "nodes": list(nodes), "outputs": {"y": output}})


@pytest.mark.parametrize(("document", "can"), [(ONNX, True), (SKOPS, False)])
@pytest.mark.parametrize("url", [False, True])
def test_the_format_tells(tmp_path, document, can, url):
    source = version(tmp_path / "m", document)
    assert can_use_gpu(release(source=f"file://{source}" if url else source)) is can


def test_what_cannot_be_read_might_use_one(tmp_path):
    assert can_use_gpu(release(source=str(tmp_path / "nothing")))


def test_a_class_might_use_one_whatever_its_folder_says(tmp_path):
    assert can_use_gpu(release(source=version(tmp_path, SKOPS), python_class="some.module:Class"))


def test_a_graph_could_if_a_node_in_its_process_could(tmp_path):
    forest = {"kind": "model", "name": "forest", "source": version(tmp_path / "forest", SKOPS)}
    net = {"kind": "model", "name": "net", "source": version(tmp_path / "net", ONNX)}
    assert not can_use_gpu(graph(forest, output="forest.y"))
    assert can_use_gpu(graph(forest, net, output="net.y"))
    apart = graph(forest, {**net, "placement": "own"}, output="net.y")
    assert not can_use_gpu(apart)
    assert can_use_gpu(node_args(apart, apart.graph.own[0]))
    assert can_use_gpu(graph(forest, CODE, output="code.y"))
