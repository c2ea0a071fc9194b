import zipfile

import numpy as np
import pytest
import torch
from support.torch_models import Doubling, save_script, source_of, tensors
from support.versions import sha256

from serve_app.errors import ManifestError, UntrustedArtifact
from serve_app.runtimes.torch_script import load

X, Y = tensors("x FP32 -1,2"), tensors("twice FP32 -1,2", "total INT64 -1")


def trusted_source(file, inputs=X, outputs=Y):
    return source_of(file, "torchscript", inputs, outputs, trusted=[sha256(file.read_bytes())])


def test_a_script_answers(tmp_path):
    runtime = load(trusted_source(save_script(Doubling(), tmp_path / "m.pt")))
    answer = runtime.predict({"x": np.array([[1, 2], [3, 4]], np.float32)})
    assert answer["twice"].tolist() == [[2.0, 4.0], [6.0, 8.0]]
    assert answer["total"].tolist() == [3, 7]
    assert runtime.device == "cpu"


@pytest.mark.parametrize("content", [b"damaged", b""])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(ManifestError, match="cannot load it as TorchScript"):
        load(trusted_source(tmp_path / "m.pt"))


def test_an_archive_of_another_kind_is_refused(tmp_path):
    torch.save({"weights": torch.ones(2)}, tmp_path / "m.pt")
    with pytest.raises(ManifestError, match="cannot load it as TorchScript"):
        load(trusted_source(tmp_path / "m.pt"))


class Writing(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.save(x, "/nowhere/mark")
        return x


@pytest.mark.parametrize("module", [Doubling(), Writing()])
def test_every_script_needs_trust_and_the_digest_is_named(tmp_path, module):
    file = save_script(module, tmp_path / "m.pt")
    with pytest.raises(UntrustedArtifact, match=sha256(file.read_bytes())):
        load(source_of(file, "torchscript", X, Y))
    load(trusted_source(file))


def hidden(file):
    """The script with its operator spelled so that a search of the text for `save` does not find it."""
    target = file.with_name("hidden.pt")
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"torch.save", b'getattr(torch, "s\\141ve")'))
    return target


def test_an_operator_spelled_otherwise_is_not_trusted_either(tmp_path):
    file = hidden(save_script(Writing(), tmp_path / "m.pt"))
    with pytest.raises(UntrustedArtifact):
        load(source_of(file, "torchscript", X, X))


def test_bytes_swapped_after_they_were_trusted_are_refused(tmp_path):
    source = trusted_source(save_script(Doubling(), tmp_path / "m.pt"))
    save_script(Writing(), tmp_path / "m.pt")
    with pytest.raises(UntrustedArtifact):
        load(source)
