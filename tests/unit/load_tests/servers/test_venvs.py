from __future__ import annotations

from pathlib import Path

import pytest

from load_tests.servers.venvs import Venv
from load_tests.target import HostUnavailable

# a stand-in for Python: `-m venv HOME` copies it there, `-m pip install ...` fails for `broken`; each call is counted
PYTHON = """#!/bin/sh
echo "$@" >> {calls}
if [ "$2" = venv ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; fi
case "$*" in *broken*) echo no such package; exit 1;; esac
"""


def venv(folder: Path, *requirements: str) -> Venv:
    python = folder / "python"
    python.write_text(PYTHON.format(calls=folder / "calls"))
    python.chmod(0o755)
    return Venv("peer", requirements, str(python), folder / "venvs", folder / "logs")


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


def test_it_is_made_at_the_first_use_only(tmp_path):
    assert venv(tmp_path, "a==1", "b").ready() == tmp_path / "venvs/peer/bin"
    venv(tmp_path, "a==1", "b").ready()
    assert calls(tmp_path) == [
        f"-m venv {tmp_path}/venvs/peer",
        "-m pip install --disable-pip-version-check a==1 b",
    ]


def test_other_requirements_make_it_anew(tmp_path):
    (venv(tmp_path, "a==1").ready() / "left").touch()
    assert not (venv(tmp_path, "a==2").ready() / "left").exists()
    assert len(calls(tmp_path)) == 4


def test_a_failed_install_names_its_log_and_is_tried_again(tmp_path):
    for _ in range(2):
        with pytest.raises(HostUnavailable, match=r"peer cannot be installed .* see .*peer-install.log"):
            venv(tmp_path, "broken").ready()
    assert "no such package" in (tmp_path / "logs/peer-install.log").read_text()
    assert len(calls(tmp_path)) == 4


def test_a_missing_interpreter_is_unavailable(tmp_path):
    with pytest.raises(HostUnavailable, match="peer cannot be installed"):
        Venv("peer", ["a"], str(tmp_path / "none"), tmp_path / "venvs", tmp_path / "logs").ready()
