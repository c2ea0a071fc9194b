"""Faulty graphs in files: each fault with its file and line, without Ray and without loading a model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from support.graph_faults import FAULTS, PIXELS, inputs_of
from support.versions import doubling, write_version

from serve_app.cli.artifacts import artifact_findings
from serve_app.config.serve_file import read_serve_file

MODEL = {
    "inputs": [PIXELS],
    "outputs": [
        {"name": "scores", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "label", "datatype": "INT64", "shape": [-1]},
    ],
}


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
    """A version that has the models' signature; its artifact is never loaded."""
    return str(write_version(tmp_path_factory.mktemp("model"), doubling(), MODEL))


def file_with(graph: dict, path: Path) -> Path:
    """A serve file with that graph as its only release."""
    release = {"model": "m", "version": "v1", "graph": graph}
    table = {"models": {"m": {"traffic": {"v1": 100}}}}
    gateway = {"name": "Gateway", "max_ongoing_requests": 4096, "user_config": table}
    applications = [
        {
            "name": "gateway",
            "route_prefix": "/",
            "import_path": "graphs.gateway:build",
            "args": {},
            "deployments": [gateway],
        },
        {"name": "m-v1", "route_prefix": None, "import_path": "graphs.inference:build", "args": release},
    ]
    path.write_text(yaml.dump({"applications": applications}, None, _Dumper, sort_keys=False))
    return path


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


@pytest.mark.parametrize(("nodes", "outputs", "place", "says"), FAULTS.values(), ids=FAULTS)
def test_each_fault_has_its_file_and_line(nodes, outputs, place, says, source, tmp_path):
    placed = [{**node, "source": source} if "source" in node else node for node in nodes]
    outputs = outputs or {"y": f"{nodes[-1]['name']}.y"}
    file = file_with({"inputs": [*inputs_of(nodes)], "nodes": placed, "outputs": outputs}, tmp_path / "serve.yaml")
    faults = read_serve_file(file, [artifact_findings]).faults
    path = ".".join(map(str, ("applications", 1, "args", "graph", *place)))
    (fault,) = [fault for fault in faults if fault.path == path]
    assert re.search(says, fault.message)
    line = file.read_text().splitlines()[fault.line - 1].strip()
    key = place[-1]
    assert line.startswith(f"{key}:") if isinstance(key, str) else line.startswith("- ")
    assert str(fault).startswith(f"{file}:{fault.line}: ")


def test_the_table_is_as_long_as_promised():
    assert len(FAULTS) >= 25
