from __future__ import annotations

import sys
import sysconfig

import pytest

from serve_app.cli import interpreter
from serve_app.cli.interpreter import interpreter_fault, is_optimised


@pytest.mark.parametrize(
    ("configure", "optimised"),
    [
        ("'--prefix=/home/me/.pyenv/versions/3.11.7' '--enable-shared'", False),
        ("'--enable-optimizations' '--with-lto' '--enable-shared'", True),
        ("'--enable-shared' '--prefix=/usr' '--libdir=/usr/lib/x86_64-linux-gnu'", True),
        ("", False),
        (None, True),
    ],
)
def test_an_interpreter_is_optimised_if_it_was_asked_to_be_or_is_the_distributions(configure, optimised):
    assert is_optimised(configure) is optimised


def test_the_fault_names_the_interpreter_and_what_to_do(monkeypatch):
    monkeypatch.setattr(sys, "base_prefix", "/home/me/python")
    monkeypatch.setattr(sysconfig, "get_config_var", {"CONFIG_ARGS": "'--enable-shared'"}.get)
    assert interpreter_fault().startswith("the Python in /home/me/python was built without --enable-optimizations")
    monkeypatch.setattr(interpreter, "is_optimised", lambda configure: True)
    assert interpreter_fault() == ""
