"""What is known of a graph's models before any is loaded."""

from __future__ import annotations

from support.versions import doubling, write_version

from serve_app.config.graph import GraphConfig
from serve_app.graph.signatures import opened_models, signatures


def test_versions_of_this_machine_are_opened_and_the_others_faults_are_kept(tmp_path):
    here = str(write_version(tmp_path / "here", doubling(), {}))
    sources = {"here": here, "away": "s3://bucket/m", "gone": str(tmp_path / "gone")}
    nodes = [{"kind": "model", "name": name, "source": source} for name, source in sources.items()]
    x = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
    graph = GraphConfig.model_validate({"inputs": [x], "nodes": nodes, "outputs": {"y": "here.y"}})
    manifests, faults = opened_models(graph)
    assert (manifests.keys(), faults) == ({"here"}, {"gone": f"{tmp_path}/gone: is not a directory"})
    (model,) = signatures(manifests).values()
    assert [(spec.name, spec.shape) for spec in (*model.inputs, *model.outputs)] == [("x", (-1, 2)), ("y", (-1, 2))]
    assert (model.predict, model.is_ragged) == (None, False)
