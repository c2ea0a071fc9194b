"""Graphs of the digits samples as releases: their answers equal those of NumPy over the bare models."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from onnx import TensorProto, helper
from PIL import Image
from support.doors import free_port
from support.versions import doubling, onnx_model, write_version
from support.waiting import graph_threads, until

from serve_app.batching.executing import Executing, executing
from serve_app.config.release import BatchingConfig, ReleaseArgs, RuntimeConfig
from serve_app.dataflow import graph_parts
from serve_app.dataflow.block_server import BlockServer
from serve_app.dataflow.model import LoadedModel, load_model, release_args
from serve_app.dataflow.own_nodes import node_args
from serve_app.errors import CheckFailed, ConfigError, InvalidInput
from serve_app.observability.metrics import NoMetrics
from serve_app.repository.store import open_version
from serve_app.runtimes.base import Runtime, RuntimeSource
from serve_app.runtimes.registry import load_runtime
from serve_app.samples.data import held_out
from serve_app.types import Block, BlockEntry

ROOT = Path(__file__).parents[4]
DIGITS = ROOT / "models/digits"
BARE = {"v1": DIGITS / "v1", "v2": DIGITS / "v2", "svm": ROOT / "models/digits-svm/v1"}
CONV = ROOT / "models/digits-conv/v1"
CONFIG = yaml.safe_load((ROOT / "configs/prod.yaml").read_text())


def args(name: str) -> ReleaseArgs:
    """Of a release in configs/prod.yaml that is a graph."""
    (found,) = [app["args"] for app in CONFIG["applications"] if app["name"] == name]
    nodes = [
        {**node, "source": str(ROOT / node["source"])} if "source" in node else node for node in found["graph"]["nodes"]
    ]
    return ReleaseArgs.model_validate({**found, "graph": {**found["graph"], "nodes": nodes}})


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return held_out("digits")[0]


@pytest.fixture(scope="module")
def bare(pixels) -> dict[str, dict[str, np.ndarray]]:
    """The models' own answers to every held-out digit, from their runtimes without anything around them."""
    rows = {name: (pixels - np.float32(4.89)) / np.float32(6.02) if name == "svm" else pixels for name in BARE}
    return {name: runtime(source).predict({"pixels": rows[name]}) for name, source in BARE.items()}


def runtime(source: Path) -> Runtime:
    version = open_version(str(source))
    return load_runtime(RuntimeSource(version.manifest, version.directory, RuntimeConfig(), cpus=1))


@pytest.fixture(scope="module")
def ensemble() -> LoadedModel:
    return load_model(args("digits-ensemble-v1"))


def test_the_ensemble_votes_as_numpy_does_and_averages_the_nets(pixels, bare, ensemble):
    votes = np.zeros((len(pixels), 10))
    for weight, name in zip((2, 3, 2), BARE, strict=True):
        votes[np.arange(len(pixels)), bare[name]["label"]] += weight
    both = np.stack([bare["v1"]["probabilities"], bare["v2"]["probabilities"]])
    mean = np.average(both, axis=0, weights=(2, 3)).astype(np.float32)
    answer = ensemble.predict({"pixels": pixels})
    np.testing.assert_array_equal(answer["label"], votes.argmax(axis=1))
    np.testing.assert_array_equal(answer["probabilities"], mean)
    assert any((answer["label"] != one["label"]).any() for one in bare.values())  # a vote that never matters is none


def test_the_ensemble_is_as_good_as_its_best_member(bare, pixels, ensemble):
    right = held_out("digits")[1]
    accuracy = {name: (answer["label"] == right).mean() for name, answer in bare.items()}
    assert (ensemble.predict({"pixels": pixels})["label"] == right).mean() >= max(accuracy.values())


def test_the_cascade_asks_the_conv_net_about_unsure_rows_only(pixels, bare):
    release = args("digits-cascade-v1")
    (threshold,) = [node.threshold for node in release.graph.nodes if node.kind == "cascade"]
    unsure = bare["v1"]["probabilities"].max(axis=1) < threshold
    conv = runtime(CONV).predict({"pixels": pixels})
    expected = np.where(unsure, conv["label"], bare["v1"]["label"])
    predict = load_model(release).predict
    with executing(Executing()) as under_way:
        answer = predict({"pixels": pixels})
    np.testing.assert_array_equal(answer["label"], expected)
    probabilities = np.where(unsure[:, None], conv["probabilities"], bare["v1"]["probabilities"])
    np.testing.assert_allclose(answer["probabilities"], probabilities, atol=1e-6)  # the sums' order goes by the rows
    assert [visit.rows for visit in under_way.visits if visit.node == "conv"] == [unsure.sum()]
    right = held_out("digits")[1]
    assert 0 < unsure.mean() < 0.5
    assert (answer["label"] == right).mean() >= (conv["label"] == right).mean() - 0.005


def test_a_graph_is_a_release_like_any_other(ensemble):
    info = ensemble.info
    assert (info.release, info.platform, info.device, info.prediction) == (
        "digits-ensemble-v1",
        "graph",
        "cpu",
        "label",
    )
    assert [(spec.name, spec.shape) for spec in info.inputs] == [("pixels", (-1, 64))]
    assert [(spec.name, spec.shape) for spec in info.outputs] == [("probabilities", (-1, 10)), ("label", (-1,))]
    assert info.outputs[0].labels == tuple("0123456789")
    assert sorted(info.profile)[0] == 1


async def test_each_request_of_a_block_gets_its_rows(pixels, ensemble):
    server = BlockServer(ensemble, NoMetrics())
    block = Block({"pixels": pixels[:5]}, (BlockEntry(2), BlockEntry(3)))
    try:
        (reply,) = await server.infer(block)
    finally:
        server.close()
    whole = ensemble.predict({"pixels": pixels[:5]})["label"]
    parts = [outputs["label"] for outputs, _ in reply.per_entry(block)]
    assert [part.tolist() for part in parts] == [whole[:2].tolist(), whole[2:].tolist()]


X = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}


def one_node(source, node=(), **graph) -> ReleaseArgs:
    nodes = [{"kind": "model", "name": "a", "source": str(source), **dict(node)}]
    whole = {"inputs": [X], "nodes": nodes, "outputs": {"y": "a.y"}, **graph}
    return ReleaseArgs.model_validate({"model": "m", "version": "v1", "accelerator": "cpu", "graph": whole})


def test_nodes_of_pytorch_are_loaded_last(monkeypatch):
    loaded, load = [], graph_parts.load_instances

    def spied(args, version, *more):
        loaded.append(version.manifest.format)
        return load(args, version, *more)

    monkeypatch.setattr(graph_parts, "load_instances", spied)
    load_model(args("digits-ensemble-v1"))
    assert loaded == ["onnx", "skops", "torch_export"]


def test_a_graphs_own_golden_rows_are_checked(tmp_path):
    source = write_version(tmp_path, doubling(), {})
    right = {"inputs": {"x": [[1, 2]]}, "outputs": {"y": [[2, 4]]}}
    assert load_model(one_node(source, golden=[right])).info.platform == "graph"
    with pytest.raises(CheckFailed, match="m-v1: golden"):
        load_model(one_node(source, golden=[{**right, "outputs": {"y": [[2, 5]]}}]))


def test_the_tightest_limits_of_the_nodes_hold_unless_the_release_says_otherwise(tmp_path):
    source = write_version(tmp_path, doubling(), {"batching": {"max_rows": 8, "max_batch_bytes": 1000}})
    release = one_node(source)
    info = load_model(release).info
    assert (info.max_rows, info.max_batch_bytes) == (8, 1000)
    wider = release.model_copy(update={"batching": BatchingConfig(max_rows=16)})
    assert load_model(wider).info.max_rows == 16


@pytest.mark.parametrize("idempotent", [True, False])
def test_a_graph_may_be_repeated_if_its_models_may(tmp_path, idempotent):
    source = write_version(tmp_path, doubling(), {"idempotent": idempotent})
    assert load_model(one_node(source)).info.idempotent == idempotent


def test_a_node_that_cannot_be_loaded_is_named(tmp_path):
    with pytest.raises(ConfigError, match="none: is not a directory"):
        load_model(one_node(tmp_path / "none"))
    source = write_version(tmp_path, doubling(), {})
    with pytest.raises(ConfigError, match=r"m-v1: graph: outputs\.y: 'a\.z' is not there"):
        load_model(one_node(source, outputs={"y": "a.z"}))


FOUR_ROWS = onnx_model(
    [helper.make_node("Add", ["x", "x"], ["y"])],
    *([helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 2])] for name in "xy"),
)


@pytest.mark.parametrize(
    ("artifact", "rows"),
    [(doubling(), {"max_rows": 4, "allowed_rows": [2, 4]}), (FOUR_ROWS, {"max_rows": 4, "allowed_rows": [4]})],
)
def test_a_node_of_some_sizes_only_takes_any_number_of_rows(tmp_path, artifact, rows):
    release = one_node(write_version(tmp_path, artifact, {"batching": rows}))
    model = load_model(release.model_copy(update={"batching": BatchingConfig(max_rows=16)}))
    for count in (1, 3, 4, 11):
        given = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
        np.testing.assert_array_equal(model.predict({"x": given})["y"], 2 * given)
    assert load_model(release).info.max_rows == 64  # its sizes are the node's own matter


def test_a_node_with_a_fixed_axis_says_what_its_manifest_lacks(tmp_path):
    with pytest.raises(ConfigError, match=r"m.a-v1: the model's axis 0 is fixed, every execution has 4 row"):
        load_model(one_node(write_version(tmp_path, FOUR_ROWS, {})))


class Widths:
    """The sum of the ids that the mask has, and the width of the batch they were in."""

    def predict(self, inputs):
        sums = (inputs["ids"] * inputs["mask"]).sum(axis=1)
        return {"y": sums, "width": np.full(len(sums), inputs["ids"].shape[1])}


def test_a_ragged_node_executes_rows_by_their_length_and_takes_the_mask_of_the_graph(tmp_path):
    ids, mask = ({"name": name, "datatype": "INT64", "shape": [-1, -1]} for name in ("ids", "mask"))
    document = {
        "format": "python",
        "inputs": [ids, mask],
        "outputs": [{"name": name, "datatype": "INT64", "shape": [-1]} for name in ("y", "width")],
        "batching": {"max_rows": 2, "ragged": {"lengths": [2, 4], "pad": {"ids": 0}, "mask": "mask"}},
    }
    (tmp_path / "model.yaml").write_text(json.dumps(document))
    outputs = {"y": "a.y", "width": "a.width"}
    release = one_node(tmp_path, {"python_class": f"{__name__}:Widths"}, inputs=[ids, mask], outputs=outputs)
    rows = np.array([[1, 2, 3], [5, 9, 9], [4, 4, 9], [7, 9, 9]])
    answer = load_model(release).predict({"ids": rows, "mask": (rows < 8).astype(np.int64)})
    assert (answer["y"].tolist(), answer["width"].tolist()) == ([6, 5, 8, 7], [4, 2, 2, 2])


PHOTO_STEPS = [
    {"op": "decode_image", "height": 16, "width": 16, "channels": 1},
    {"op": "resize", "height": 8, "width": 8, "method": "nearest"},
    {"op": "cast", "datatype": "FP32"},
    {"op": "scale", "factor": 16 / 255},
    {"op": "reshape", "shape": [64]},
]
PHOTOS = {
    "inputs": [{"name": "photo", "datatype": "BYTES", "shape": [-1]}],
    "nodes": [
        {"kind": "transform", "name": "image", "input": "photo", "steps": PHOTO_STEPS},
        {"kind": "model", "name": "mlp", "source": str(DIGITS / "v1"), "inputs": {"pixels": "image.y"}},
        {"kind": "transform", "name": "best", "input": "mlp.probabilities", "steps": [{"op": "top_k", "k": 2}]},
    ],
    "outputs": {"label": "best.labels", "score": "best.scores"},
}


def photo(pixels) -> bytes:
    """A digit as a PNG of 16 x 16."""
    stream = io.BytesIO()
    image = np.rint(pixels.reshape(8, 8) * 255 / 16).astype(np.uint8)
    Image.fromarray(image).resize((16, 16), Image.Resampling.NEAREST).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def photos() -> LoadedModel:
    return load_model(release_args(model="photos", version="v1", accelerator="cpu", graph=PHOTOS))


def test_encoded_digits_are_told_as_the_bare_model_tells_their_pixels(photos, pixels):
    answer = photos.predict({"photo": np.array([photo(one) for one in pixels], object)})
    seen = np.rint(pixels * 255 / 16).astype(np.float32) * np.float32(16 / 255)
    bare = ReleaseArgs(model="digits", version="v1", source=str(DIGITS / "v1"), accelerator="cpu")
    scores = load_model(bare).predict({"pixels": seen})["probabilities"]
    order = np.argsort(-scores, axis=1, kind="stable")[:, :2]
    assert answer["label"].tolist() == [[str(digit).encode() for digit in row] for row in order]
    np.testing.assert_array_equal(answer["score"], np.take_along_axis(scores, order, axis=1))


async def test_a_file_that_is_no_image_fails_its_own_request_only(photos, pixels):
    server = BlockServer(photos, NoMetrics())
    good = photo(pixels[0])
    elements = np.array([good, good, b"no image", good], object)
    try:
        (reply,) = await server.infer(Block({"photo": elements}, (BlockEntry(1), BlockEntry(2), BlockEntry(1))))
    finally:
        server.close()
    errors = [result.error for result in reply.results]
    assert (errors[0], errors[2], type(errors[1])) == (None, None, InvalidInput)
    assert str(errors[1]).startswith("row 1 of 'photo' is no whole image in JPEG or PNG, 8 bytes")
    assert len(reply.outputs["label"]) == 2


def test_a_transform_of_several_inputs_may_be_a_release_of_its_own():
    both = {"kind": "transform", "name": "both", "input": ["x", "z"], "placement": "own", "steps": [{"op": "concat"}]}
    graph = {"inputs": [X, {**X, "name": "z", "shape": [-1]}], "nodes": [both], "outputs": {"y": "both.y"}}
    release = release_args(model="m", version="v1", graph=graph)
    alone = load_model(node_args(release, release.graph.nodes[0]))
    inputs = {"x0": np.float32([[1, 2]]), "x1": np.float32([3])}
    assert alone.predict(inputs)["y"].tolist() == [[1, 2, 3]]
    here = load_model(release)  # with nobody to call, in a thread of this process
    assert here.predict({"x": inputs["x0"], "z": inputs["x1"]})["y"].tolist() == [[1, 2, 3]]


def test_what_a_transform_lacks_is_said_before_the_warm_up():
    step = {"op": "function", "function": "nowhere_at_all:f", "datatype": "FP32", "shape": [-1, 2]}
    graph = {"inputs": [X], "nodes": [{"kind": "transform", "name": "t", "input": "x", "steps": [step]}]}
    release = release_args(model="m", version="v1", graph={**graph, "outputs": {"y": "t.y"}})
    with pytest.raises(ConfigError, match="m-v1: graph: node 't': function 'nowhere_at_all:f' cannot be imported"):
        load_model(release)


class Fragile:
    """Answers the input, or breaks on a negative number."""

    def predict(self, inputs):
        if (inputs["x"] < 0).any():
            raise ValueError("a negative number")
        return {"y": inputs["x"]}


ROUTED = {
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}],
    "outputs": {"y": "e.y", "z": "w.y"},
}


async def test_each_request_has_its_own_way_and_hears_what_was_left_out(tmp_path):
    names = ("plain", "fragile", "usual", "other")
    sources = {name: write_fragile(tmp_path / name) for name in names}
    nodes = [
        {"kind": "model", "name": name, "source": str(sources[name]), "python_class": f"{__name__}:{python_class}"}
        for name, python_class in zip(names, ("Plain", "Fragile", "Plain", "Tenfold"), strict=True)
    ]
    ensemble = {"kind": "ensemble", "name": "e", "method": "mean", "members": ["plain.y", "fragile.y"], "quorum": 1}
    switch = {"kind": "switch", "name": "w", "parameter": "way", "cases": {"other": "other"}, "default": "usual"}
    declared = {**ROUTED, "nodes": [*nodes, ensemble, switch]}
    server = BlockServer(load_model(release_args(model="m", version="v1", graph=declared)), NoMetrics())
    good = Block({"x": np.array([[1], [2]], np.float32)}, (BlockEntry(1, "a"), BlockEntry(1, "b", parameters=OTHER)))
    (reply,) = await server.infer(good)
    assert (reply.outputs["y"].tolist(), reply.outputs["z"].tolist()) == ([[1], [2]], [[1], [20]])
    assert [result.left_out for result in reply.results] == [{}, {}]
    (reply,) = await server.infer(Block({"x": np.array([[-3]], np.float32)}, (BlockEntry(1, "c"),)))
    assert reply.outputs["y"].tolist() == [[-3]]
    (result,) = reply.results
    assert result.left_out == {"e.fragile": "failed"}
    server.close()


OTHER = {"way": "other"}


class Plain:
    """Answers the input."""

    def predict(self, inputs):
        return {"y": inputs["x"]}


class Tenfold:
    """Answers ten times the input."""

    def predict(self, inputs):
        return {"y": 10 * inputs["x"]}


def write_fragile(directory: Path) -> Path:
    """A version of format python with one number in and one out."""
    directory.mkdir()
    tensor = {"datatype": "FP32", "shape": [-1, 1]}
    manifest = {"format": "python", "inputs": [{"name": "x", **tensor}], "outputs": [{"name": "y", **tensor}]}
    (directory / "model.yaml").write_text(json.dumps(manifest))
    return directory


def with_a_remote(source: Path, port: int, *, covered: bool) -> ReleaseArgs:
    """Doubling by a server, and if that is away, in this process."""
    y = {"name": "y", "datatype": "FP32", "shape": [-1, 2]}
    far = {"kind": "remote", "name": "far", "url": f"127.0.0.1:{port}", "model": "double", "inputs": {"x": "x"}}
    nodes = [{**far, "outputs": [y]}]
    if covered:
        near = {"kind": "model", "name": "near", "source": str(source)}
        nodes += [near, {"kind": "fallback", "name": "any", "targets": ["far", "near"]}]
    outputs = {"y": "any.y" if covered else "far.y"}
    return release_args(model="m", version="v1", graph={"inputs": [X], "nodes": nodes, "outputs": outputs})


async def test_a_server_that_is_away_keeps_only_those_from_traffic_that_need_it(tmp_path):
    source, port, before = write_version(tmp_path, doubling(), {}), free_port(), graph_threads()
    with pytest.raises(CheckFailed, match=rf"^m-v1: warm-up with 1 rows: m-v1 node far .* 127\.0\.0\.1:{port}: "):
        load_model(with_a_remote(source, port, covered=False))
    server = BlockServer(load_model(with_a_remote(source, port, covered=True)), NoMetrics())
    (reply,) = await server.infer(Block({"x": np.array([[1, 2]], np.float32)}, (BlockEntry(1),)))
    assert reply.outputs["y"].tolist() == [[2, 4]]
    assert list(reply.results[0].left_out) == ["any.far"]
    assert graph_threads() - before
    server.close()
    await until(lambda: not graph_threads() - before)
