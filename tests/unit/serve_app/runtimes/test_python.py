import sys
import textwrap

import numpy as np
import pytest

from serve_app.config.manifest import Manifest
from serve_app.errors import ConfigError
from serve_app.runtimes.base import RuntimeSource
from serve_app.runtimes.python import PythonRuntime

MANIFEST = Manifest.model_validate(
    {
        "format": "python",
        "inputs": [{"name": "x", "datatype": "INT64", "shape": [-1]}],
        "outputs": [{"name": "y", "datatype": "INT64", "shape": [-1]}],
    }
)


@pytest.fixture
def code(tmp_path, monkeypatch):
    """Write an operator's module that is importable during the test, and give its reference."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(body: str, class_name: str = "Model") -> str:
        (tmp_path / "operators_own.py").write_text(textwrap.dedent(body))
        return f"operators_own:{class_name}"

    yield write
    sys.modules.pop("operators_own", None)


def load(reference: str | None, tmp_path, manifest: Manifest = MANIFEST, device: str = "cpu") -> PythonRuntime:
    return PythonRuntime(RuntimeSource(manifest, tmp_path, device, python_class=reference))


def test_the_class_answers(code, tmp_path):
    reference = code("class Model:\n    def predict(self, inputs):\n        return inputs['x'] * 3\n")
    assert load(reference, tmp_path).predict({"x": np.array([1, 2])})["y"].tolist() == [3, 6]


def test_setup_gets_directory_and_device_once(code, tmp_path):
    reference = code("""
        class Model:
            calls = []
            def setup(self, directory, device):
                self.calls.append((directory, device))
            def predict(self, inputs):
                return {"y": inputs["x"]}
        """)
    runtime = load(reference, tmp_path, device="cuda")
    runtime.predict({"x": np.array([1])})
    assert sys.modules["operators_own"].Model.calls == [(tmp_path, "cuda")]
    assert runtime.device == "cuda:0"


def test_texts_become_bytes(code, tmp_path):
    reference = code(
        "import numpy\nclass Model:\n    def predict(self, inputs):\n        return numpy.array(['ja', 'nein'])\n"
    )
    outputs = [{"name": "y", "datatype": "BYTES", "shape": [-1]}]
    manifest = Manifest.model_validate(MANIFEST.model_dump() | {"outputs": outputs})
    answer = load(reference, tmp_path, manifest).predict({"x": np.array([1, 2])})
    assert answer["y"].tolist() == [b"ja", b"nein"]


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        (None, "needs python_class"),
        ("no_such_module_here:Model", "cannot be imported"),
        ("operators_own:Missing", "has no class Missing with a predict method"),
        ("operators_own:number", "has no class number"),
        ("operators_own:Empty", "with a predict method"),
    ],
)
def test_what_cannot_be_a_model_is_refused(code, tmp_path, reference, reason):
    code("number = 3\nclass Empty:\n    pass\n")
    with pytest.raises(ConfigError, match=reason):
        load(reference, tmp_path)


DECOUPLED = Manifest.model_validate(MANIFEST.model_dump() | {"decoupled": True})


def test_a_decoupled_class_streams_and_its_first_response_is_its_prediction(code, tmp_path):
    reference = code("""
        class Model:
            def stream(self, inputs):
                for times in (1, 2, 3):
                    yield {"y": inputs["x"] * times}
        """)
    runtime = load(reference, tmp_path, DECOUPLED)
    assert [response["y"].tolist() for response in runtime.stream({"x": np.array([4])})] == [[4], [8], [12]]
    assert runtime.predict({"x": np.array([4])})["y"].tolist() == [4]


def test_closing_a_stream_ends_the_operators_generator(code, tmp_path):
    reference = code("""
        class Model:
            ended = False
            def stream(self, inputs):
                try:
                    while True:
                        yield inputs["x"]
                finally:
                    Model.ended = True
        """)
    stream = load(reference, tmp_path, DECOUPLED).stream({"x": np.array([4])})
    next(stream)
    stream.close()
    assert sys.modules["operators_own"].Model.ended


def test_a_decoupled_class_may_give_any_iterator_but_needs_stream_and_a_first_response(code, tmp_path):
    runtime = load(
        code("class Model:\n    def stream(self, inputs):\n        return [inputs['x']]\n"), tmp_path, DECOUPLED
    )
    assert [response["y"].tolist() for response in runtime.stream({"x": np.array([4])})] == [[4]]
    sys.modules.pop("operators_own")
    nothing = load(code("class Model:\n    def stream(self, inputs):\n        return []\n"), tmp_path, DECOUPLED)
    with pytest.raises(ValueError, match="no response"):
        nothing.predict({"x": np.array([4])})
    sys.modules.pop("operators_own")
    with pytest.raises(ConfigError, match="has no class Model with a stream method"):
        load(code("class Model:\n    def predict(self, inputs): ...\n"), tmp_path, DECOUPLED)


def test_what_the_constructor_raises_passes_through(code, tmp_path):
    reference = code(
        "class Model:\n    def __init__(self):\n        raise KeyError('x')\n    def predict(self, i): ...\n"
    )
    with pytest.raises(KeyError):
        load(reference, tmp_path)
