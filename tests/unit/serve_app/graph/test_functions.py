"""The operator's own function: what it is given, what it may give, and when it is imported."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from serve_app.config.data_operations import Function
from serve_app.config.graph import GraphConfig
from serve_app.datatypes import Datatype
from serve_app.errors import ConfigError, InvalidInput, ModelRaised, WrongAnswer
from serve_app.graph.functions import function, lookup_findings
from serve_app.types import TensorSpec

SPEC = TensorSpec("x", Datatype.FP32, (-1, 2))
X = np.array([[1, 2], [3, 4]], np.float32)
CODE = """
import numpy as np
from serve_app.errors import InvalidInput

BUFFER = np.zeros((2, 2), np.float32)


class Shaper:
    pass


def total(x, y):
    return x + y

def reused(x):
    BUFFER[:] = x
    return BUFFER

def texts(x):
    return [f"{row.sum():g}" for row in x]

def doubles(x):
    return x.astype(np.float64)

def wide(x):
    return np.hstack([x, x])

def short(x):
    return x[:1]

def jagged(x):
    return [[1.0], [1.0, 2.0]]

def writes(x):
    x += 1

def refuses(x):
    raise InvalidInput("input 'x'", "is out of season")
"""


@pytest.fixture(scope="module", autouse=True)
def own_package(tmp_path_factory):
    """`own_rows`, where this process would import it from."""
    home = tmp_path_factory.mktemp("own")
    (home / "own_rows.py").write_text(CODE)
    (home / "own_broken.py").write_text("raise OSError('no /etc/own/settings')\n")
    sys.path.insert(0, str(home))
    yield
    sys.path.remove(str(home))
    sys.modules.pop("own_rows", None)


def operation(name, **fields):
    declared = {"op": "function", "function": f"own_rows:{name}", "datatype": "FP32", "shape": [-1, 2], **fields}
    return Function.model_validate(declared)


def called(name, *arrays, **fields):
    return function(operation(name, **fields), [SPEC] * len(arrays)).load("shape")(arrays)[0]


def test_it_is_given_every_input_and_gives_what_is_declared():
    assert called("total", X, X).tolist() == [[2, 4], [6, 8]]
    link = function(operation("total", labels=["a", "b"], allow_nan=True), [SPEC, SPEC])
    assert link.outputs == (TensorSpec("y", Datatype.FP32, (-1, 2), ("a", "b"), allow_nan=True),)


def test_texts_become_bytes():
    assert called("texts", X, datatype="BYTES", shape=[-1]).tolist() == [b"3", b"7"]


def test_a_buffer_that_it_uses_again_is_not_handed_out():
    first, second = called("reused", X), called("reused", 2 * X)
    assert (first.tolist(), second.tolist()) == (X.tolist(), (2 * X).tolist())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("doubles", "node 'shape' failed: own_rows:doubles gave dtype float64, FP32 is declared"),
        ("wide", r"own_rows:wide gave shape \[2, 4\], \[-1, 2\] is declared"),
        ("short", "own_rows:short gave 1 rows for 2"),
        ("jagged", "own_rows:jagged gave no array"),
    ],
)
def test_another_answer_than_declared_is_wrong(name, says):
    with pytest.raises(WrongAnswer, match=says):
        called(name, X)


def test_what_it_raises_is_the_nodes_failure_and_what_it_refuses_the_callers():
    with pytest.raises(ModelRaised, match=r"node 'shape' failed: ValueError: .* read-only"):
        called("writes", X)
    assert X[0, 0] == 1
    with pytest.raises(InvalidInput, match="input 'x' is out of season"):
        called("refuses", X)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("own_rows:nothing", "node 'shape': own_rows has no function 'nothing'"),
        ("nowhere_at_all:f", "'nowhere_at_all:f' cannot be imported: ModuleNotFoundError"),
        ("own_broken:f", "'own_broken:f' cannot be imported: OSError: no <path>"),
    ],
)
def test_one_that_is_not_there_is_said_at_load(path, says):
    link = function(operation("total", function=path), [SPEC])
    with pytest.raises(ConfigError, match=says):
        link.load("shape")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("own_rows:totl", "the module own_rows has no 'totl'; did you mean 'total'?"),
        ("nowhere_at_all:f", "there is no module 'nowhere_at_all' to import"),
        ("own_rows:Shaper", "own_rows:Shaper is a class, a function is needed"),
        ("own_rows:total", ""),
        ("own_broken:f", "the module own_broken has no 'f'"),
    ],
)
def test_it_is_looked_up_without_an_import(path, says):
    sys.modules.pop("own_rows", None)
    step = {"op": "function", "function": path, "datatype": "FP32", "shape": [-1, 2]}
    node = {"kind": "transform", "name": "n", "input": "x", "steps": [{"op": "scale"}, step]}
    inputs = [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]
    graph = GraphConfig.model_validate({"inputs": inputs, "nodes": [node], "outputs": {"y": "n.y"}})
    expected = [(("nodes", 0, "steps", 1, "function"), says)] if says else []
    assert list(lookup_findings(graph)) == expected
    assert not {"own_rows", "own_broken"} & sys.modules.keys()
