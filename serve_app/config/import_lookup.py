"""Whether an import path leads anywhere, without running what it leads to: reading a serve file runs nobody's code."""

from __future__ import annotations

import ast
import importlib.util
import os
import symtable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from typing import Literal

from serve_app.config.unknown_keys import unknown_key


@dataclass(frozen=True, slots=True)
class Lookup:
    """What an import path leads to.

    Attributes:
        fault: Why it leads nowhere; empty if it leads somewhere, or if only running the module could tell.
        kind: What it leads to, where its module's own text says so.
    """

    fault: str = ""
    kind: Literal["class", "function"] | None = None


def look_up(path: str) -> Lookup:
    """Look for `package.module:attribute` (or a dot for the colon) where this process, or one of this folder, would."""
    module, _, attribute = path.partition(":") if ":" in path else path.rpartition(".")
    if not module or not attribute.isidentifier():
        return Lookup(f"must be an import path such as package.module:name, not {path!r}")
    spec = _spec(module)
    if spec is None:
        return Lookup(f"there is no module {module!r} to import")
    if not isinstance(spec.loader, SourceFileLoader) or spec.origin is None:
        return Lookup()
    source = spec.loader.get_source(module) or ""
    try:
        return _in_source(source, module, attribute)
    except SyntaxError as error:
        return Lookup(f"{spec.origin}:{error.lineno}: {error.msg}")


def _spec(module: str) -> ModuleSpec | None:
    """The module's spec; `importlib.util.find_spec` would import its packages."""
    top, *parts = module.split(".")
    spec = importlib.util.find_spec(top) or PathFinder.find_spec(top, [os.getcwd()])
    for part in parts:
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(f"{spec.name}.{part}", spec.submodule_search_locations)
    return spec


def _in_source(source: str, module: str, attribute: str) -> Lookup:
    symbols = {
        symbol.get_name(): symbol
        for symbol in symtable.symtable(source, module, "exec").get_symbols()
        if symbol.is_assigned() or symbol.is_imported()  # others are only read
    }
    if attribute in symbols:
        spaces = [space.get_type() for space in symbols[attribute].get_namespaces()]
        return Lookup(kind="class" if "class" in spaces else "function" if "function" in spaces else None)
    if "__getattr__" in symbols or _imports_all(source):
        return Lookup()
    hint = unknown_key(attribute, symbols).removeprefix("unknown key")
    return Lookup(f"the module {module} has no {attribute!r}{hint}")


def _imports_all(source: str) -> bool:
    tree = ast.walk(ast.parse(source))
    return any(isinstance(statement, ast.ImportFrom) and statement.names[0].name == "*" for statement in tree)
