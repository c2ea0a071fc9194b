"""The example of a graph in Python is the cascade of configs/prod.yaml."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from graphs import digits_cascade
from serve_app.config.declared import read_declared
from serve_app.config.graph import GraphConfig
from serve_app.datatypes import Datatype
from serve_app.errors import ConfigError
from serve_app.graph.plan import NodeModel
from serve_app.graph.planner import plan_graph
from serve_app.types import TensorSpec

ROOT = Path(__file__).parents[3]
SIGNATURE = NodeModel(
    (TensorSpec("pixels", Datatype.FP32, (-1, 64)),),
    (TensorSpec("probabilities", Datatype.FP32, (-1, 10)), TensorSpec("label", Datatype.INT64, (-1,))),
)


@pytest.fixture(scope="module")
def file():
    return yaml.safe_load((ROOT / "configs/prod.yaml").read_text())


@pytest.fixture(scope="module")
def declared(file) -> GraphConfig:
    (application,) = [one for one in file["applications"] if one["name"] == "digits-cascade-v1"]
    return GraphConfig.model_validate(application["args"]["graph"])


def test_it_is_the_graph_of_the_yaml(declared):
    assert digits_cascade.graph() == declared


def test_its_plan_is_that_of_the_yaml(declared):
    coded, written = (plan_graph(g, {"mlp": SIGNATURE, "conv": SIGNATURE}) for g in (digits_cascade.graph(), declared))
    assert coded.findings == written.findings == []
    assert (coded.inputs, coded.outputs, coded.references) == (written.inputs, written.outputs, written.references)
    assert coded.specs == written.specs
    steps = [
        [(step.name, step.needs, step.outputs, step.waits) for step in plan.steps.steps] for plan in (coded, written)
    ]
    assert steps[0] == steps[1] != []


def test_its_release_is_read_as_that_of_the_yaml(file):
    (written,) = [one for one in file["applications"] if one["name"] == "digits-cascade-v1"]
    args = {key: value for key, value in written["args"].items() if key != "graph"}
    coded = {**written, "import_path": "graphs.digits_cascade:build", "args": args}
    releases, findings = zip(*(read_declared({"applications": [one]}) for one in (written, coded)), strict=True)
    assert findings == ([], [])
    assert releases[0].releases[0].args == releases[1].releases[0].args


def test_args_cannot_say_what_the_code_says():
    with pytest.raises(ConfigError, match=r"^args.source has no effect: the graph is coded in Python$"):
        digits_cascade.build({"model": "m", "version": "v1", "source": "s"})


def test_reading_the_graph_does_not_import_ray():
    code = "import sys\nfrom graphs.digits_cascade import graph\ngraph()\nprint('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)  # noqa: S603
    assert done.stdout == "False\n"
