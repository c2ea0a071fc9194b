import json
import pickle
import subprocess
import sys

import pytest
from support.versions import doubling, sha256, write_version
from typer.testing import CliRunner

from serve_app.cli.models import app


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def file(tmp_path):
    (tmp_path / "doubling.onnx").write_bytes(doubling())
    return tmp_path / "doubling.onnx"


@pytest.fixture
def root(tmp_path):
    write_version(tmp_path / "models" / "m" / "v1", doubling(), {"metrics": {"accuracy": 0.5}})
    return tmp_path / "models"


def test_an_added_version_is_listed_shown_and_verified(file, tmp_path):
    root = tmp_path / "models"
    golden = tmp_path / "golden.yaml"
    golden.write_text("- {inputs: {x: [[1, 2]]}, outputs: {y: [[2, 4]]}}")
    options = ("--golden", golden, "--metric", "accuracy=0.5", "--labels", "y=a,b", "--description", "doubles")
    added = run("add", file, "--name", "m", "--version", "v1", "--root", root, *options)
    assert added.exit_code == 0, added.output
    assert "y FP32 [-1, 2]  labels a, b  (prediction)" in added.stdout
    assert "m" in run("list", "--root", root).stdout
    assert "doubles" in run("show", "m", "v1", "--root", root).stdout
    verified = run("verify", "m", "v1", "--root", root)
    assert (verified.exit_code, verified.stdout.count("1 golden checks")) == (0, 1)


def test_machines_read_json(root, file):
    assert json.loads(run("list", "--root", root, "--json").stdout) == [
        {"model": "m", "version": "v1", "format": "onnx", "accuracy": 0.5, "fault": None}
    ]
    shown = json.loads(run("show", "m", "v1", "--root", root, "--json").stdout)
    assert (shown["sha256"], shown["inputs"][0]["shape"]) == (sha256(doubling()), [-1, 2])
    assert json.loads(run("verify", "m", "v1", "--root", root, "--json").stdout)["verified"] is True
    added = run("add", file, "--name", "m", "--version", "v2", "--root", root, "--json")
    assert json.loads(added.stdout)["version"] == "v2"


def fails(result, sentence):
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
    assert sentence in result.stderr


def test_errors_are_one_sentence_on_stderr(root, file, tmp_path):
    fails(run("add", file, "--name", "m", "--version", "v1", "--root", root), "a version never changes")
    fails(run("add", file, "--name", "m", "--version", "v2", "--root", root, "--metric", "a"), "NAME=NUMBER")
    fails(run("add", file, "--name", "m", "--version", "v2", "--root", root, "--metric", "=3"), "NAME=NUMBER")
    fails(run("add", file, "--name", "m", "--version", "v2", "--root", root, "--metric", "a=nan"), "NAME=NUMBER")
    fails(run("show", "m", "v9", "--root", root), "is not a directory")
    fails(run("list", "--root", tmp_path / "nothing"), "holds no models")


def test_verify_really_loads(root):
    wrong = {"golden": [{"inputs": {"x": [[1, 2]]}, "outputs": {"y": [[2, 5]]}}]}
    write_version(root / "m" / "v1", doubling(), wrong)
    fails(run("verify", "m", "v1", "--root", root), "m-v1: golden 0: output 'y' differs by up to 1")
    assert run("show", "m", "v1", "--root", root).exit_code == 0


def test_a_damaged_version_is_listed_with_its_fault(root):
    (root / "m" / "v1" / "model.onnx").write_bytes(b"damaged")
    listed = run("list", "--root", root, "--json")
    assert listed.exit_code == 1
    assert "sha256 is" in json.loads(listed.stdout)[0]["fault"]
    fails(run("verify", "m", "v1", "--root", root), "the manifest says")


def test_a_pickle_is_added_only_with_its_digest(tmp_path):
    file = tmp_path / "m.pkl"
    file.write_bytes(pickle.dumps({"not": "an estimator"}))
    add = ("add", file, "--name", "p", "--version", "v1", "--root", tmp_path / "models")
    fails(run(*add), sha256(file.read_bytes()))
    fails(run(*add, "--trust-sha256", sha256(file.read_bytes())), "dict is no fitted estimator")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--trust-sha256", "abc"), "trusted_sha256.0 'abc': "),
        (("--trust-sha256", "A" * 64), "trusted_sha256.0 'AAA"),
        (("--python-class", "nonsense"), "python_class 'nonsense': "),
    ],
)
def test_options_that_make_no_release_are_told(root, options, said):
    fails(run("verify", "m", "v1", "--root", root, *options), said)


@pytest.mark.parametrize("name", ["a b", "m" * 129, "m" * 300])
def test_names_that_are_none_are_told(root, file, name):
    fails(run("verify", name, "v1", "--root", root), "model 'm" if name[0] == "m" else "model 'a b'")
    fails(run("show", name, "v1", "--root", root), "model 'm" if name[0] == "m" else "model 'a b'")
    fails(run("add", file, "--name", name, "--version", "v1", "--root", root), "is no name")


def test_a_root_that_is_a_file_is_told(file, tmp_path):
    fails(run("add", file, "--name", "m", "--version", "v1", "--root", file), "cannot be made: Not a directory")


def test_a_failing_warm_up_is_one_sentence_in_a_process_of_its_own(tmp_path):
    (tmp_path / "m.onnx").write_bytes(doubling())
    command = [sys.executable, "-m", "serve_app", "models", "add", str(tmp_path / "m.onnx"), "--name", "m"]
    command += ["--version", "v1", "--root", str(tmp_path / "models"), "--input", "x:FP32:-1,3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not (tmp_path / "models").exists()
