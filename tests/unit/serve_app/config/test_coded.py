"""Releases whose graph is coded in Python."""

import pytest

from serve_app.config.coded import coded_graph, is_coded, repeated, with_graph
from serve_app.config.graph import GraphConfig
from serve_app.errors import ConfigError

EXAMPLE = "graphs.digits_cascade:build"


@pytest.mark.parametrize(
    ("import_path", "coded"),
    [
        (EXAMPLE, True),
        ("graphs.digits_cascade:graph", False),
        ("graphs.inference:build", False),
        ("graphs.gateway:build", False),
        ("graphs.missing:build", False),
        ("graphs:build", False),
        ("", False),
        ("elsewhere.digits_cascade:build", False),
        ("serve_app.config.coded:build", False),
    ],
)
def test_a_module_of_graphs_that_has_a_graph_codes_one(import_path, coded):
    assert is_coded(import_path) is coded


def test_the_graph_comes_from_the_module():
    graph = coded_graph(EXAMPLE)
    assert isinstance(graph, GraphConfig)
    assert [node.name for node in graph.nodes] == ["mlp", "conv", "sure"]


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module that is not installed; returns its builder's import path."""

    def write(text):
        name = f"coded_{len(list(tmp_path.iterdir()))}_{tmp_path.name}"
        (tmp_path / f"{name}.py").write_text(text)
        return f"{name}:build"

    monkeypatch.syspath_prepend(str(tmp_path))
    return write


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def graph():\n    return {'nodes': []}", " must give a GraphConfig, not dict"),
        ("def graph():\n    raise ValueError('no such weather')", ": no such weather"),
        ("def graph():\n    raise ValueError", ": ValueError"),
        ("import nothing_of_this_name", ": No module named 'nothing_of_this_name'"),
    ],
)
def test_what_a_modules_code_does_wrong_is_said_where_it_is_named(module, text, reason):
    path = module(text)
    with pytest.raises(ConfigError) as error:
        coded_graph(path)
    assert str(error.value) == f"{path.removesuffix(':build')}:graph{reason}"


def test_args_are_those_of_a_release_but_for_the_graph():
    graph = coded_graph(EXAMPLE)
    assert with_graph({"model": "m"}, graph) == {"model": "m", "graph": graph}
    assert list(repeated({"model": "m", "source": "s", "graph": {}})) == ["graph", "source"]
    with pytest.raises(ConfigError, match=r"^args.graph has no effect"):
        with_graph({"graph": {}}, graph)
