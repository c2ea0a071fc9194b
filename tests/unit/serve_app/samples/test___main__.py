import subprocess
import sys
from pathlib import Path

from support.versions import doubling, write_version

from serve_app.samples.__main__ import main, text
from serve_app.samples.train import SAMPLES


def test_versions_that_are_whole_are_kept(tmp_path: Path, capsys):
    for sample in SAMPLES:
        metrics = {"metrics": {"accuracy": 0.5, "held_out_rows": 10}}
        write_version(tmp_path / sample.model / sample.version, doubling(), metrics)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    main(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert capsys.readouterr().err.count("kept, accuracy 0.5000 on 10 held-out rows") == len(SAMPLES) == 5


def test_an_operators_own_version_needs_no_metrics(tmp_path: Path, capsys):
    for sample in SAMPLES:
        write_version(tmp_path / sample.model / sample.version, doubling(), {})
    main(tmp_path)
    assert "wine-v1: kept " in capsys.readouterr().err


def test_an_operators_own_net_is_not_converted_and_stops_nothing(tmp_path: Path, capsys):
    for sample in SAMPLES:
        if not sample.converted_from:
            write_version(tmp_path / sample.model / sample.version, doubling(), {})
    main(tmp_path)
    said = " ".join(capsys.readouterr().err.split())
    assert "digits-conv-v1 is left out: " in said
    assert "wine-v1: kept " in said
    assert not (tmp_path / "digits-conv/v1").exists()


def test_a_sentence_encoder_that_is_there_is_kept(tmp_path: Path, capsys):
    write_version(tmp_path / "minilm" / "v1", doubling(), {})
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    text(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert "minilm-v1: kept " in capsys.readouterr().err


def test_what_cannot_be_used_is_one_sentence_and_exit_code_1(tmp_path: Path):
    own = tmp_path / "digits" / "v1"
    own.mkdir(parents=True)
    (own / "notes.txt").write_text("mine")
    command = [sys.executable, "-m", "serve_app.samples", "--root", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    assert done.returncode == 1
    sentence = " ".join(done.stderr.split())
    assert "exists but cannot be used" in sentence
    assert "Traceback" not in sentence
    assert (own / "notes.txt").read_text() == "mine"
