"""The assembled command line."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]


def test_every_command_is_there(run):
    code, out, _ = run("--help")
    assert code == 0
    for command in ("validate", "serve", "apply", "promote", "rollback", "infer", "status", "experiment", "models"):
        assert f" {command} " in out


@pytest.mark.parametrize(
    "command", ["validate", "serve", "apply", "promote", "rollback", "infer", "status", "experiment", "models"]
)
def test_every_command_explains_itself(run, command):
    assert run(command, "--help")[0] == 0


def test_a_wrong_option_is_refused(run):
    assert run("status", "--ulr", "x")[0] == 2


def test_the_core_alone_has_a_command_line_without_ray():
    script = (
        "import sys, runpy\n"
        "sys.argv = ['serve_app', 'validate', '--no-artifacts', 'configs/prod.yaml']\n"
        "try:\n    runpy.run_module('serve_app', run_name='__main__')\n"
        "finally:\n    print('ray' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)  # noqa: S603
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "False"
