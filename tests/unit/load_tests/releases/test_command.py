"""The command shows every claim, and its exit code says whether all hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from load_tests.releases import command
from load_tests.releases.claims import Claim
from load_tests.target import HostUnavailable


def good(folder: Path) -> list[Claim]:
    return [Claim("its folder is there", str(folder), folder.is_dir())]


def bad(folder: Path) -> list[Claim]:
    return [Claim("nothing is lost", "1 failed", False)]


def unavailable(folder: Path) -> list[Claim]:
    raise HostUnavailable("port 8265 is taken")


@pytest.fixture
def invoke(monkeypatch):
    monkeypatch.setattr(command, "SCENARIOS", {"good": good, "bad": bad, "unavailable": unavailable})
    return lambda *names: CliRunner().invoke(command.app, list(names))


def test_all_claims_that_hold_end_well(invoke):
    result = invoke("good")
    assert (result.exit_code, "2 of 2 claims hold" in result.output) == (0, True), result.output


def test_one_that_does_not_is_shown_and_exits_1(invoke):
    result = invoke("good", "bad")
    assert (result.exit_code, "1 failed" in result.output) == (1, True), result.output


def test_a_server_that_cannot_run_is_a_claim_that_does_not_hold(invoke):
    result = invoke("unavailable")
    assert (result.exit_code, "port 8265 is taken" in result.output) == (1, True), result.output


def test_a_name_that_is_none_is_refused(invoke):
    result = invoke("god")
    assert (result.exit_code, "good, bad" in result.output) == (2, True), result.output
