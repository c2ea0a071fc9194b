"""Import paths are followed without importing anything."""

import sys

import pytest

from serve_app.config.import_lookup import Lookup, look_up

SOURCE = """
raise SystemExit("this module must not run")
import os
from a import b as imported
def function(): pass
class Class: pass
value = 1
if value:
    branch = 2
print(len)
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package in the folder that one works in, which is not on the import path."""
    folder = tmp_path / "operators_own"
    folder.mkdir()
    (folder / "__init__.py").write_text('raise SystemExit("nor this one")')
    (folder / "scaling.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize(
    ("name", "kind"),
    [("function", "function"), ("Class", "class"), ("value", None), ("branch", None), ("imported", None)],
)
def test_a_name_of_the_module_is_found(package, name, kind):
    assert look_up(f"operators_own.scaling:{name}") == Lookup(kind=kind)
    assert look_up(f"operators_own.scaling.{name}") == Lookup(kind=kind)
    assert "operators_own" not in sys.modules


def test_a_name_that_the_module_lacks_is_a_fault_with_the_nearest(package):
    assert look_up("operators_own.scaling:Klass").fault == (
        "the module operators_own.scaling has no 'Klass'; did you mean 'Class'?"
    )
    assert look_up("operators_own.scaling:len").fault == "the module operators_own.scaling has no 'len'"


@pytest.mark.parametrize("module", ["no_such_module", "operators_own.other", "operators_own.scaling.deeper"])
def test_a_module_that_is_not_there_is_a_fault(package, module):
    assert look_up(f"{module}:function").fault == f"there is no module {module!r} to import"


@pytest.mark.parametrize("path", ["", "name", "module:", ":name", "a:b:c", "a.b.", "a:not a name"])
def test_what_is_no_import_path_is_a_fault(path):
    assert look_up(path).fault == f"must be an import path such as package.module:name, not {path!r}"


@pytest.mark.parametrize("source", ["from os import *", "def __getattr__(name): return 1"])
def test_what_only_running_it_could_tell_is_no_fault(package, source):
    (package / "scaling.py").write_text(source)
    assert look_up("operators_own.scaling:Anything") == Lookup()


def test_a_module_without_source_is_not_looked_into():
    assert look_up("_struct:anything") == look_up("sys:anything") == Lookup()


def test_a_module_that_is_no_python_says_where(package):
    (package / "scaling.py").write_text("x = 1\ndef (")
    assert look_up("operators_own.scaling:x").fault.startswith(f"{package / 'scaling.py'}:2: ")
