"""Rollouts and readiness as text."""

import io
import time

import pytest
from rich.console import Console

from serve_app.cli.rollout_view import (
    Board,
    drawn,
    gate_line,
    headline,
    missing_versions,
    release_lines,
    rollout_key,
    rollout_lines,
    routing_text,
    version_rows,
)
from serve_app.release.overview import Overview, RolloutState, Verdict
from serve_app.release.records import Routing

RUNNING = {
    "id": "7",
    "strategy": "canary",
    "phase": "running",
    "step": 2,
    "steps": 3,
    "percent": 25,
    "seconds_in_step": 12.4,
    "verdicts": [{"gate": "error_rate", "outcome": "waits", "sentence": "error_rate 0 of 80 requests, needs 100"}],
}
OVERVIEW = Overview.model_validate(
    {
        "models": {
            "digits": {
                "declared": {"traffic": {"v1": 100, "v2": 0}},
                "traffic": {"v1": 75, "v2": 25},
                "labels": {"stable": "v1"},
                "versions": {"v1": {"ready": True}, "v2": {"ready": False, "reason": "loading"}},
                "rollout": RUNNING,
            }
        },
        "retirements": [{"release": "digits-v0", "in_s": 312.4}],
        "events": [{"time_s": 0, "model": "digits", "kind": "traffic", "actor": "gate", "text": "25% to v2"}],
    }
)


def state(**changes):
    return RolloutState.model_validate({**RUNNING, **changes})


def test_a_rollout_is_a_bar_and_its_gates():
    assert rollout_lines("digits", state()) == [
        "digits  [######..................]  canary step 2/3 at 25%, for 12 s",
        "  waits    error_rate 0 of 80 requests, needs 100",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"phase": "paused", "step": 3}, "canary step 3/3 at 25%, waits for `serve-app promote`"),
        ({"phase": "waiting", "steps": 0}, "canary at 25%, waits until the new version is ready"),
        ({"phase": "rolled_back", "reason": "too slow"}, "canary step 2/3 at 25%, rolled back: too slow"),
    ],
)
def test_a_headline_says_what_it_waits_for_or_how_it_ended(changes, said):
    assert headline(state(**changes)) == said


def test_counting_alone_is_no_change():
    more = [{**RUNNING["verdicts"][0], "sentence": "error_rate 0 of 90 requests, needs 100"}]
    assert rollout_key(state()) == rollout_key(state(verdicts=more, seconds_in_step=13))
    assert rollout_key(state()) != rollout_key(state(step=3))
    assert rollout_key(state()) != rollout_key(state(verdicts=[{**more[0], "outcome": "pass"}]))


def test_a_gate_without_a_sentence_is_its_bound():
    assert gate_line(Verdict(gate="latency_ms p95", bound="max 50")) == "unknown  latency_ms p95 max 50"


def test_who_answers_fits_in_a_cell():
    assert routing_text(Routing({"v1": 90, "v2": 10}, {"stable": "v1"})) == "v1:90% v2:10%  stable=v1"
    assert routing_text(None) == "-"


def test_a_version_is_a_row():
    assert list(version_rows(OVERVIEW)) == [
        ("digits", "v1", "ready", "100%", "75%", "stable", "-"),
        ("digits", "v2", "not ready", "0%", "25%", "", "loading"),
    ]


def test_what_goes_on_is_told_in_lines():
    lines = list(release_lines(OVERVIEW))
    assert lines[2:4] == ["digits-v0 is deleted in 312 s unless it has traffic then", "events"]
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(0))
    assert lines[4] == f"  {when}  digits traffic (gate)  25% to v2"


def test_a_version_with_traffic_that_is_not_ready_is_missing():
    assert list(missing_versions(OVERVIEW)) == ["digits v2 should get 25% and is not ready: loading"]


def test_without_a_terminal_only_changes_are_said():
    said = []
    with Board(Console(file=io.StringIO()), said.append) as board:
        board.show({"a": ["one"]}, {"a": "1"})
        board.show({"a": ["two"]}, {"a": "1"})
        board.show({"a": ["three"]}, {"a": "2"})
    assert said == ["one", "three"]


def test_a_terminal_is_redrawn_and_left_as_it_was():
    said, file = [], io.StringIO()
    with Board(Console(file=file, force_terminal=True, width=80), said.append) as board:
        assert file.getvalue() == ""
        board.show({"a": ["[red]one"]}, {"a": "1"})
    assert said == []
    assert "[red]one" in file.getvalue()


def test_control_characters_do_not_reach_the_terminal():
    console = Console(file=io.StringIO(), width=80)
    console.print(drawn(["a\x1b[2Jb"]))
    assert console.file.getvalue() == "a\ufffd[2Jb\n"
