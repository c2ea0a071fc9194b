"""The README's commands, word by word, against the shared server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from support.server import BIN

FENCE = re.compile(r"```(\w+)\n(.*?)```", re.S)


@pytest.fixture
def clone(server, tmp_path):
    """A folder with what the commands touch, so that the checkout stays as it is."""
    for name in ("models", "tests/data"):
        shutil.copytree(server.root / name, tmp_path / name)
    shutil.rmtree(tmp_path / "models/digits/v3", ignore_errors=True)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/prod.yaml").write_text(yaml.safe_dump(server.config, sort_keys=False))
    return tmp_path


def blocks(server) -> list[tuple[str, str]]:
    """Language and text of every code block, with the shared server's addresses for those in the text."""
    text = (server.root / "README.md").read_text().replace("localhost:8000", server.url.removeprefix("http://"))
    text = text.replace("localhost:9000", server.grpc_address)
    for command in ("infer", "status"):
        text = text.replace(f"serve-app {command}", f"serve-app {command} --url {server.url}")
    return FENCE.findall(text)


def run(command: list[str], cwd) -> str:
    path = f"{BIN}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "RAY_AUTH_MODE": "token"}
    done = subprocess.run(  # noqa: S603 - our own commands
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_every_shell_command_works_and_the_first_answer_is_as_shown(server, clone):
    found = blocks(server)
    shown = [json.loads(text) for language, text in found if language == "json"]
    outputs = [run(["bash", "-euo", "pipefail", "-c", text], clone) for language, text in found if language == "bash"]
    assert json.loads(outputs[0]) == shown[0]
    assert (clone / "models/digits/v3/model.yaml").exists()
    assert len(outputs) >= 4


def test_the_python_block_works(server, clone):
    (script,) = [text for language, text in blocks(server) if language == "python"]
    (clone / "block.py").write_text(script)
    assert "(2, 10)" in run([sys.executable, "block.py"], clone)


def test_the_make_targets_exist(server):
    makefile = (server.root / "Makefile").read_text()
    commands = [text for language, text in blocks(server) if language == "console"]
    targets = re.findall(r"make (\w+)", " ".join(commands))
    assert {"serve", "test", "check", "bench"} <= set(targets)
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in targets)


def test_the_readme_is_short(server):
    assert len((server.root / "README.md").read_text().splitlines()) <= 150
