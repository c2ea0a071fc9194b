import subprocess
import sys
from pathlib import Path

import pytest
from onnx import TensorProto
from support.versions import doubling, identity, onnx_document, write_version

from serve_app.config.manifest import Format, Manifest
from serve_app.config.release import RuntimeConfig
from serve_app.errors import ConfigError
from serve_app.runtimes.base import RuntimeSource
from serve_app.runtimes.registry import infer_fixed_rows, infer_signature, load_runtime

LIBRARIES = ("onnxruntime", "torch", "sklearn", "skops", "joblib")


def manifest(**changes) -> Manifest:
    return Manifest.model_validate(onnx_document(doubling()) | changes)


def test_each_library_is_imported_only_when_its_format_is_used(tmp_path):
    write_version(tmp_path, doubling(), {})
    program = f"""
import sys
from pathlib import Path
from serve_app.repository.store import open_version
from serve_app.runtimes.base import RuntimeSource
from serve_app.runtimes.registry import load_runtime
print([name for name in {LIBRARIES} if name in sys.modules])
version = open_version({str(tmp_path)!r})
load_runtime(RuntimeSource(version.manifest, version.directory))
print([name for name in {LIBRARIES} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603 - our own text
    assert done.stdout.splitlines() == ["[]", "['onnxruntime']"]


def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # what the import system leaves where a package is missing
    monkeypatch.delitem(sys.modules, "serve_app.runtimes.onnx", raising=False)
    with pytest.raises(ConfigError, match=r"needs onnxruntime.*pip install 'serve-app\[onnx\]'"):
        load_runtime(RuntimeSource(manifest(), tmp_path))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (RuntimeSource(manifest(), Path(), config=RuntimeConfig(precision="bf16")), "precision bf16 has no effect"),
        (RuntimeSource(manifest(), Path(), python_class="a:B"), "python_class has no effect on format onnx"),
        (
            RuntimeSource(manifest(format="python"), Path(), config=RuntimeConfig(threads=2), python_class="a:B"),
            "threads has no effect on format python",
        ),
    ],
)
def test_a_setting_without_effect_is_refused(source, reason):
    with pytest.raises(ConfigError, match=reason):
        load_runtime(source)


def test_a_format_that_does_not_tell_its_signature_has_none(tmp_path):
    (tmp_path / "m.onnx").write_bytes(doubling())
    assert infer_signature(tmp_path / "m.onnx", Format.ONNX).inputs[0].name == "x"
    assert infer_signature(tmp_path / "m.pt", Format.TORCHSCRIPT) is None


def test_only_graphs_say_that_their_rows_are_fixed(tmp_path):
    (tmp_path / "m.onnx").write_bytes(identity(TensorProto.FLOAT, [4, 2]))
    assert infer_fixed_rows(tmp_path / "m.onnx", Format.ONNX, manifest().inputs) == 4
    assert infer_fixed_rows(tmp_path / "m.pt", Format.TORCHSCRIPT, manifest().inputs) is None
