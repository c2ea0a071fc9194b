import contextlib
import io
import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from support.torch_models import Dictionary, Doubling, save_export
from support.versions import sha256

from serve_app.errors import ManifestError, UntrustedArtifact
from serve_app.runtimes.torch_trust import check_export

EXAMPLE = torch.ones(2, 2)


class Sizes(torch.nn.Module):
    """Symbolic sizes that take part in the arithmetic, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.ones(4, 2))
        self.constant = torch.ones(2)

    def forward(self, x):
        flat = x.reshape(-1)
        half = flat[: flat.shape[0] // 2]
        with torch.no_grad():
            return torch.cat([x, self.table]), torch.einsum("ij,j->i", x, self.constant), half.sum() / x.shape[0]


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.write_text, (self.mark, "executed")


@pytest.fixture
def program(tmp_path):
    return save_export(Doubling(), tmp_path / "m.pt2", EXAMPLE)


def rewritten(file: Path, changes: dict) -> Path:
    """A copy of a PyTorch archive with members changed by functions of their bytes, and new ones."""
    target = file.with_name("changed.pt2")
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        prefix = old.namelist()[0].split("/")[0]
        for name in old.namelist():
            change = changes.pop(name.removeprefix(f"{prefix}/"), lambda data: data)
            new.writestr(name, change(old.read(name)))
        for name, change in changes.items():
            new.writestr(f"{prefix}/{name}", change(b""))
    return target


def graph_changed(file: Path, change) -> Path:
    def edit(data: bytes) -> bytes:
        document = json.loads(data)
        change(document)
        return json.dumps(document).encode()

    return rewritten(file, {"models/model.json": edit})


@pytest.mark.parametrize("module", [Doubling(), Sizes()])
def test_programs_of_pytorch_s_own_operators_need_no_trust(tmp_path, module):
    check_export(save_export(module, tmp_path / "m.pt2", EXAMPLE), ())


class Folding(torch.nn.Module):
    """Sizes that must divide each other, so that the program has guards."""

    def forward(self, x, more):
        columns = x.shape[1]
        folded = x.reshape(x.shape[0], columns // 4, 4).sum(1)
        return folded + more["a"] + more["b"][0]


def test_guards_on_sizes_need_no_trust(tmp_path):
    free = {0: torch.export.Dim.DYNAMIC}
    both = free | {1: torch.export.Dim.DYNAMIC}
    inputs = (torch.ones(3, 8), {"a": 2 * torch.ones(3, 4), "b": [3 * torch.ones(3, 4)]})
    program = torch.export.export(Folding(), inputs, dynamic_shapes=(both, {"a": free, "b": [free]}))
    assert len(program._guards_code) > 2
    torch.export.save(program, tmp_path / "m.pt2")
    check_export(tmp_path / "m.pt2", ())


def test_dicts_and_keywords_need_no_trust(tmp_path):
    check_export(save_export(Dictionary(), tmp_path / "m.pt2", EXAMPLE, scale=2 * EXAMPLE), ())


def test_pickled_example_inputs_never_run(tmp_path, program):
    mark = tmp_path / "mark"
    evil = io.BytesIO()
    torch.save(Payload(mark), evil)
    file = rewritten(program, {"data/sample_inputs/model.pt": lambda _: evil.getvalue()})
    with pytest.raises(UntrustedArtifact, match="example inputs are pickled objects"):
        check_export(file, ())
    assert not mark.exists()
    with contextlib.suppress(Exception):
        torch.export.load(file)  # PyTorch itself runs it: the check is not for nothing
    assert mark.exists()


def test_sizes_in_python_never_run(tmp_path, program):
    mark = tmp_path / "mark"

    def change(document):
        sizes = document["graph_module"]["graph"]["tensor_values"]["x"]["sizes"]
        sizes[0]["as_expr"]["expr_str"] = f"__import__('pathlib').Path({str(mark)!r}).touch() or Symbol('s77')"

    file = graph_changed(program, change)
    with pytest.raises(UntrustedArtifact, match="expr_str is"):
        check_export(file, ())
    with contextlib.suppress(Exception):
        torch.export.load(file)
    assert mark.exists()


def _target(name):
    def change(document):
        document["graph_module"]["graph"]["nodes"][0]["target"] = name

    return change


def _guard(text):
    def change(document):
        document["guards_code"] = [text]

    return change


def _name(document):
    document["graph_module"]["graph"]["inputs"][0]["as_tensor"]["name"] = "x=print(1)"


def _tree(document):
    call = document["graph_module"]["module_call_graph"][0]["signature"]
    call["in_spec"] = call["in_spec"].replace("builtins.tuple", "collections.defaultdict")


def _enumeration(document):
    call = document["graph_module"]["module_call_graph"][0]["signature"]
    context = json.dumps([{"__enum__": True, "fqn": "antigravity:X", "name": "x"}])
    tree = [1, {"type": "builtins.dict", "context": context, "children_spec": []}]
    call["out_spec"] = json.dumps(tree)


@pytest.mark.parametrize(
    "change",
    [
        _target("torch.os.system"),
        _target("torch.ops.aten.save.default"),
        _target("torch.ops.mine.op.default"),
        _target("_operator.methodcaller"),
        _target("#extension:op"),
        _guard("print(1)"),
        _guard("L['x'].size()[0] == 2 #"),
        _guard("L['x'].size()[0] == 2, print(1)"),
        _guard("L['x'].__class__ == 2"),
        _guard("L['x') or print(1) or ('x'].size()[0] == 2"),
        _name,
        _tree,
        _enumeration,
    ],
)
def test_a_graph_that_reaches_beyond_tensors_needs_trust(program, change):
    file = graph_changed(program, change)
    with pytest.raises(UntrustedArtifact, match="could run code when loaded"):
        check_export(file, ())
    check_export(file, (sha256(file.read_bytes()),))


def test_pickled_weights_and_unknown_members_need_trust(tmp_path, program):
    config = {"config": {"w": {"path_name": "weight_0", "use_pickle": True}}}
    name = "data/weights/model_weights_config.json"
    with pytest.raises(UntrustedArtifact, match="'w' is pickled"):
        check_export(rewritten(program, {name: lambda _: json.dumps(config).encode()}), ())
    config["config"]["w"] = {"path_name": "opaque_obj_0", "use_pickle": False}
    with pytest.raises(UntrustedArtifact, match="'w' is pickled"):
        check_export(rewritten(program, {name: lambda _: json.dumps(config).encode()}), ())
    with pytest.raises(UntrustedArtifact, match=r"member 'data/weights/model\.pt'"):
        check_export(rewritten(program, {"data/weights/model.pt": lambda _: pickle.dumps(1)}), ())


@pytest.mark.parametrize("content", [b"", b"[", b"[]", b'{"a": ' * 100_000])
def test_a_damaged_program_is_refused(program, content):
    file = rewritten(program, {"data/weights/model_weights_config.json": lambda _: content})
    with pytest.raises(ManifestError, match="is no archive that PyTorch wrote"):
        check_export(file, ())
