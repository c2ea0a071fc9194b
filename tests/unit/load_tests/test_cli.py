import subprocess
import sys

import pytest
from typer.testing import CliRunner

from load_tests.cli import app


@pytest.mark.parametrize("command", ["bench", "load", "open", "soak"])
def test_every_command_explains_itself(command):
    result = CliRunner().invoke(app, [command, "--help"])
    assert (result.exit_code, "Usage:" in result.output) == (0, True)


def test_a_wrong_url_is_told_in_a_sentence():
    result = CliRunner().invoke(app, ["open", "nowhere", "--rate", "5"])
    assert result.exit_code == 2
    assert "is not of the form" in result.output


def test_generators_import_nothing_of_the_commands():
    code = "import load_tests.__main__, load_tests.generators, sys; assert 'load_tests.cli' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own code


def test_a_request_to_end_stops_what_was_started():
    code = (
        "import contextlib, os, signal\n"
        "from load_tests.cli import main\n"
        "class Context: invoked_subcommand = 'soak'\n"
        "main(Context())\n"
        "with contextlib.ExitStack() as stack:\n"
        "    stack.callback(print, 'stopped')\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    signal.pause()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)  # noqa: S603, PLW1510 - our code
    assert (done.stdout, done.returncode) == ("stopped\n", 143)
