"""What an exported program would do beyond computing, found before PyTorch loads it.

`torch.export.load` runs code that the file chooses: it unpickles some payloads, evaluates symbolic sizes and guards as
Python, imports what its tree specifications name, looks operators up by dotted names below `torch`, and writes names
into generated source. An archive in which all of these have only the form that `torch.export.save` gives a program of
PyTorch's own operators is data; any other needs the operator's trust.

Members are read by the reader that PyTorch itself uses, so that both see the same archive.
"""

from __future__ import annotations

import ast
import io
import json
import pickle
import re
from collections.abc import Collection, Iterator
from pathlib import Path

import torch

from serve_app.errors import ManifestError, UntrustedArtifact
from serve_app.repository.files import sha256_of

_MEMBER = re.compile(
    r"models/model\.json|data/(weights|constants)/(model_(weights|constants)_config\.json|(weight|tensor)_\d+)"
    r"|data/sample_inputs/model\.pt|archive_format|archive_version|byteorder|version|\.(data|format)/\w+|extra/.+"
)
_TARGET = re.compile(
    r"torch\.ops\.(aten|prims)\.\w+\.\w+|torch\.sym_\w+|math\.(ceil|floor|trunc|sqrt|pow)"
    r"|torch\.ops\.higher_order\.(cond|while_loop|scan|associative_scan|map_impl|wrap_with_(set_grad_enabled|autocast))"
    r"|_operator\.(getitem|add|sub|mul|truediv|floordiv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_)"
)
_FILE_OPERATOR = re.compile(r"\b(save|from_file)\b")  # ATen's operators that write and read files
_IDENTIFIER = re.compile(r"([A-Za-z_]\w*(\.\w+)*)?")
_PLAIN = re.compile(r"[\w.,:<>+*/ -]*")  # no bracket, quote or '=': nothing that could call or assign in source
_SYMBOL_OR_NUMBER = re.compile(r"[suz]\w*\d|-?\d+(\.\d*)?(e[+-]?\d+)?")
_FUNCTION = re.compile(  # of sympy and torch.utils._sympy: those that sizes are made of
    r"Symbol|Integer|Rational|Float|Add|Mul|Pow|Max|Min|Mod|And|Or|Not|Eq|Ne|Equality|Unequality"
    r"|(Strict)?(Less|Greater)Than|PythonMod|FloorDiv|CleanDiv|ModularIndexing|(Ceil|Floor|Trunc)ToInt|ToFloat"
    r"|(Int|Float)TrueDiv|PowByNatural|(int_)?oo|max|min"
)
_LENGTH = re.compile(r"L(\['\w+'\]|\[\d+\])+\.(size|stride)\(\)\[\d+\]")  # of an input's axis, in a guard
_ARITHMETIC = (
    *(ast.Expression, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Load, ast.keyword),
    *(ast.operator, ast.unaryop, ast.cmpop),
)
_TREE_TYPES = (None, "builtins.tuple", "builtins.list", "builtins.dict")

Reader = torch._C.PyTorchFileReader


def check_export(file: Path, trusted_sha256: Collection[str]) -> None:
    """Check that loading an exported program does no more than build a graph of PyTorch's own operators.

    Raises:
        UntrustedArtifact: It does, or could do, more, and the file's digest is not trusted.
        ManifestError: The file is no archive that PyTorch wrote.
    """
    try:
        problem = next(_export_problems(Reader(str(file))), None)
    except (RuntimeError, ValueError, RecursionError, AttributeError, TypeError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise ManifestError(str(file), f"is no archive that PyTorch wrote: {reason}") from error
    if problem is None:
        return
    digest = sha256_of(file)
    if digest not in trusted_sha256:
        raise UntrustedArtifact(str(file), digest, f"could run code when loaded: {problem}")


def _export_problems(reader: Reader) -> Iterator[str]:
    names = reader.get_all_records()
    yield from (f"it has a member {name!r}" for name in names if not _MEMBER.fullmatch(name))
    if "models/model.json" not in names:
        raise ValueError("there is no models/model.json in it")
    for kind in ("weights", "constants"):
        config = json.loads(reader.get_record(f"data/{kind}/model_{kind}_config.json"))
        for name, payload in config["config"].items():
            if payload["use_pickle"] or not re.fullmatch(r"(weight|tensor)_\d+", payload["path_name"]):
                yield f"{name!r} is pickled"
    if _needs_unpickling(reader.get_record("data/sample_inputs/model.pt")):
        yield "its example inputs are pickled objects"
    yield from _graph_problems(json.loads(reader.get_record("models/model.json")), "")


def _needs_unpickling(data: bytes) -> bool:
    if not data:
        return False
    try:
        torch.load(io.BytesIO(data), weights_only=True)
    except pickle.UnpicklingError:
        return True
    return False


def _graph_problems(value: object, key: str) -> Iterator[str]:
    """Walk the program's JSON; `key` is the nearest key above `value`."""
    if isinstance(value, dict):
        yield from (f"it has a key {name[:80]!r}" for name in value if not _PLAIN.fullmatch(name))
        for name, child in value.items():
            if name != "metadata":  # stack traces and module names, which PyTorch only keeps
                yield from _graph_problems(child, name)
    elif isinstance(value, list):
        for child in value:
            yield from _graph_problems(child, key)
    elif isinstance(value, str) and not _is_harmless(value, key):
        yield f"{key} is {value[:80]!r}"


def _is_harmless(text: str, key: str) -> bool:
    if key == "guards_code":  # Python source, which PyTorch executes: L['x'].size()[0] == L['y'].size()[0]
        return _is_arithmetic(_LENGTH.sub("s0", text))
    if key == "target":
        return _is_match(_TARGET, text) and _FILE_OPERATOR.search(text) is None
    if key == "expr_str":
        return _is_arithmetic(text)
    if key in ("in_spec", "out_spec"):
        return not text or _is_plain_tree(json.loads(text))
    if key in ("name", "forward_arg_names"):
        return _is_match(_IDENTIFIER, text)
    return _is_match(_PLAIN, text)


def _is_arithmetic(text: str) -> bool:
    """Whether an expression has only numbers, symbols of sizes and the functions that PyTorch writes for them."""
    if re.search(r"[#\\\r\n]", text):  # what the parser below skips and a line of source would not
        return False
    try:
        return all(_is_arithmetic_node(node) for node in ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError):
        return False


def _is_arithmetic_node(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return _is_match(_FUNCTION, node.id) or _is_match(_SYMBOL_OR_NUMBER, node.id)
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (int, float)) or _is_match(_SYMBOL_OR_NUMBER, node.value)
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and _is_match(_FUNCTION, node.func.id)
    return isinstance(node, _ARITHMETIC)


def _is_match(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_plain_tree(value: object) -> bool:
    """Whether a tree specification, `[protocol, tree]`, is of tuples, lists and dicts with plain keys only."""
    if isinstance(value, list):
        return all(_is_plain_tree(child) for child in value)
    if isinstance(value, dict):
        keys = json.loads(value["context"] or "null")
        is_known = value["type"] in _TREE_TYPES and (keys is None or all(isinstance(key, str) for key in keys))
        return is_known and _is_plain_tree(value["children_spec"])
    return isinstance(value, int)
