"""A plan where a model's runtime would stand: its signature, and what cannot be a node."""

from __future__ import annotations

import numpy as np

from serve_app.config.graph import GraphConfig
from serve_app.config.manifest import Manifest
from serve_app.config.release import BatchingConfig
from serve_app.datatypes import Datatype
from serve_app.graph.plan import Plan
from serve_app.graph.planner import plan_graph
from serve_app.graph.runtime import GraphRuntime, signature_of, unfit_for_graphs

X = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
HALF = {"kind": "transform", "name": "half", "input": "x", "steps": [{"op": "scale", "factor": 0.5}]}
GRAPH = GraphConfig.model_validate({"inputs": [X], "nodes": [HALF], "outputs": {"y": "half.y"}})


def planned() -> Plan:
    plan = plan_graph(GRAPH, {})
    plan.load()
    return plan


def test_a_graph_answers_as_a_runtime_does():
    runtime = GraphRuntime(planned(), "cpu")
    answer = runtime.predict({"x": np.array([[2, 4]], np.float32)})
    assert (answer["y"].tolist(), runtime.device, runtime.fixed_rows) == ([[1, 2]], "cpu", None)
    runtime.close()


def test_its_signature_is_a_manifest_with_the_tightest_limits():
    nodes = [BatchingConfig(max_rows=8), BatchingConfig(max_rows=32, max_batch_bytes=1000)]
    manifest = signature_of(GRAPH, planned(), nodes)
    assert [(one.name, one.datatype, one.shape) for one in manifest.outputs] == [("y", Datatype.FP32, (-1, 2))]
    assert (manifest.batching.max_rows, manifest.batching.max_batch_bytes) == (8, 1000)
    assert manifest.idempotent
    assert not signature_of(GRAPH, planned(), nodes, idempotent=False).idempotent


def test_what_cannot_be_a_node_is_said():
    manifest = Manifest.model_validate({"format": "python", "inputs": [X], "outputs": [{**X, "name": "y"}]})
    assert unfit_for_graphs(manifest) == ""
    assert "decoupled" in unfit_for_graphs(manifest.model_copy(update={"decoupled": True}))
