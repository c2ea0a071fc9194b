"""`serve-app validate`."""

import json
from pathlib import Path

PROD = Path(__file__).parents[4] / "tests/data/serve.yaml"


def bad_file(tmp_path, **replacements):
    text = PROD.read_text()
    for old, new in replacements.items():
        text = text.replace(old, new)
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    return file


def test_a_good_file_says_so_and_what_it_serves(run):
    code, out, err = run("validate", PROD, "--no-artifacts")
    assert (code, err) == (0, "")
    assert out == f"{PROD}: good; releases: digits-v1, digits-v2, wine-v1\n"


def test_every_fault_goes_to_stderr_unwrapped(run, tmp_path):
    file = bad_file(tmp_path, batching="batchng")
    code, out, err = run("validate", file, "--no-artifacts")
    assert (code, out) == (1, "")
    assert err.splitlines() == [
        *(
            f"{file}:{line}: applications.{n}.args.batchng: unknown key; did you mean 'batching'?"
            for n, line in ((1, 39), (2, 50), (3, 61))
        ),
        "3 faults",
    ]


def test_one_bad_file_among_good_ones_fails(run, tmp_path):
    code, out, err = run("validate", PROD, tmp_path / "none.yaml", "--no-artifacts")
    assert code == 1
    assert "good" in out
    assert err.splitlines()[0] == f"{tmp_path}/none.yaml:1: cannot be read: No such file or directory"


def test_json_lists_the_faults(run, tmp_path):
    file = bad_file(tmp_path, **{"host: 127.0.0.1": "host: 0.0.0.0"})
    code, out, err = run("validate", file, "--no-artifacts", "--json")
    assert (code, err) == (1, "")
    (fault,) = json.loads(out)
    assert (fault["file"], fault["line"], fault["path"]) == (str(file), 9, "http_options.host")
    assert json.loads(run("validate", PROD, "--no-artifacts", "--json")[1]) == []


def test_extra_checks_take_part(run):
    code, _, err = run("validate", PROD, "--no-artifacts", extra_checks=[lambda data: [(("applications", 1), "odd")]])
    assert code == 1
    assert err.splitlines()[0] == f"{PROD}:30: applications.1: odd"


def test_artifacts_are_opened_unless_told_not_to(run, tmp_path):
    file = bad_file(tmp_path, **{"models/": f"{tmp_path}/models/"})
    code, _, err = run("validate", file)
    assert code == 1
    assert [line.split(": ")[1] for line in err.splitlines()[:-1]] == [
        f"applications.{n}.args.source" for n in (1, 2, 3)
    ]


def test_what_serve_deploy_would_do_otherwise_is_a_warning_and_no_fault(run, tmp_path):
    rollout = "traffic: {v1: 100}\n          rollout: {strategy: blue_green}"
    file = bad_file(tmp_path, **{"traffic: {v1: 100}": rollout})
    code, out, err = run("validate", file, "--no-artifacts")
    assert code == 0
    assert "good" in out
    assert err.startswith(
        f"warning: {file}:29: applications.0.deployments.0.user_config.models.wine.rollout: `serve deploy` "
    )
