from typer.testing import CliRunner

from load_tests.cli import app


def test_a_pid_without_a_url_is_refused():
    result = CliRunner().invoke(app, ["soak", "--pid", "1"])
    assert result.exit_code == 2
    assert "--pid goes with --url" in result.output
