"""What is claimed of a canary, held against what was seen of one."""

from __future__ import annotations

from types import SimpleNamespace

from load_tests.releases import canaries, files
from load_tests.releases.canaries import Canary, Run
from load_tests.releases.candidates import write_candidate
from load_tests.releases.load import Load
from load_tests.releases.outcomes import Outcome
from load_tests.releases.running import Command
from load_tests.releases.spoiled import Behaviour, digest
from load_tests.releases.truth import labels_of, rows

RAISED = Outcome(1.0, 0, 5.0, 500, fault="500 it raised")
BROKEN = Outcome(1.0, 0, 5.0, fault="closed")


def run_of(*outcomes: Outcome) -> Run:
    command = Command(SimpleNamespace(returncode=1), 0.0, [], 2.0)
    return Run(Load(len(outcomes), list(outcomes)), command, None, {"started_s": 10.0, "ended_s": 25.0})


def test_errors_of_its_own_are_allowed_to_one_that_raises_and_to_nobody_else():
    raising, wrong = (Canary("x", {}, (), gate) for gate in ("error_rate", "disagreement"))
    assert canaries._lost(run_of(RAISED), raising)[0].is_true
    assert not canaries._lost(run_of(RAISED), wrong)[0].is_true
    assert not canaries._lost(run_of(RAISED, BROKEN), raising)[0].is_true


def test_a_wrong_version_is_right_about_being_wrong(tmp_path):
    folder = write_candidate(tmp_path / "wrong", Behaviour(wrong_rows=(digest(rows()[0]),)))
    canary = Canary("wrong", files.release("digits", "wrong", folder, "Perceptron"), ())
    label = int(labels_of(files.digits("v1"))[0])
    load = Load(2, [Outcome(1.0, 0, 5.0, 200, "wrong", (label + 1) % 10), Outcome(1.0, 0, 5.0, 200, "v1", label)])
    assert canaries._right(load, canary).is_true


def test_afterwards_an_answer_of_the_canary_refutes():
    assert canaries._after(run_of(Outcome(3.0, 0, 5.0, 200, "v1", 1)), "x").is_true
    assert not canaries._after(run_of(Outcome(3.0, 0, 5.0, 200, "x", 1)), "x").is_true


def test_a_rollout_tells_how_long_it_took():
    assert canaries._seconds(run_of()) == "15 s after the rollout began"
