"""The console script, with Ray's checks."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def run(code):
    return subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )


def test_validate_includes_rays_checks(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text((ROOT / "tests/data/serve.yaml").read_text().replace("max_ongoing_requests", "max_ongoing_request"))
    code = (
        f"import sys; sys.argv = ['serve-app', 'validate', '--no-artifacts', {str(file)!r}]\n"
        "from deployments.cli import main; main()"
    )
    done = run(code)
    assert done.returncode == 1
    where = "applications.0.deployments.0.max_ongoing_request"
    assert done.stderr.splitlines() == [
        f"{file}:20: {where}: unknown key; did you mean 'max_ongoing_requests'?",
        "1 fault",
    ]


def test_other_commands_do_not_import_ray():
    code = (
        "import sys; sys.argv = ['serve-app', 'status', '--help']\n"
        "from deployments.cli import main\n"
        "try:\n    main()\nfinally:\n    print('ray' in sys.modules)"
    )
    done = run(code)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "False")
