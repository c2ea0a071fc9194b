"""Rollouts of the running server by `serve-app apply`: traffic moves as the file says, and no request is lost by it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from support.load import under_load
from support.server import wait_for

from load_tests.releases.candidates import write_candidate, write_sound
from load_tests.releases.spoiled import Behaviour, digest
from serve_app.samples.data import held_out

BLUE_GREEN = {"strategy": "blue_green", "keep_for_s": 120, "ready_timeout_s": 60}
ERRORS = {"metric": "error_rate", "max_increase": 0.01, "min_requests": 50}
CANARY = {"strategy": "canary", "steps": [{"percent": 25, "seconds": 3}], "gates": [ERRORS], "keep_for_s": 0}
UNDER_WAY_S = 0.5  # what was sent before the switch is answered by then
LABELS = {"stable": "v1", "canary": "v2"}


def candidate(server, version: str, folder: Path, python_class: str = "") -> dict[str, Any]:
    """The application of a version of digits in a folder."""
    release = server.python_release("digits", folder, f"load_tests.releases.spoiled:{python_class}")
    release["name"], release["args"]["version"] = f"digits-{version}", version
    release["runtime_env"]["env_vars"]["PYTHONPATH"] = str(server.root)
    if not python_class:
        del release["args"]["python_class"], release["runtime_env"]
    return release


def moved_to(server, version: str, release: dict[str, Any], rollout: dict[str, Any]) -> dict[str, Any]:
    """The file by which a new version has all the traffic of digits; the others stay, with none."""
    entry = {"traffic": {version: 100, "v1": 0, "v2": 0}, "labels": LABELS, "rollout": rollout}
    config = server.with_traffic(digits=entry)
    config["applications"].append(release)
    return config


def test_applying_what_runs_changes_nothing(server):
    before = server.pids()
    for _ in range(2):
        code, output = server.apply(server.config)
        assert (code, output.splitlines()[-1]) == (0, "no change"), output
    assert server.pids() == before


async def test_blue_green_and_a_rollback_lose_nothing_and_mix_no_versions(server, restored, tmp_path):
    release = candidate(server, "v3", write_sound(tmp_path / "v3"))
    before = server.pids()
    async with under_load(server.url) as load:
        code, output = await asyncio.to_thread(server.apply, moved_to(server, "v3", release, BLUE_GREEN))
        assert code == 0, output
        switched = time.monotonic() + UNDER_WAY_S
        await asyncio.to_thread(wait_for, "traffic", lambda: sum(at > switched for at, _ in load.versions) > 50, 60)
        asked = time.monotonic()
        code, output = await asyncio.to_thread(server.rollback, "digits")
        assert code == 0, output
        back = time.monotonic() + UNDER_WAY_S
        await asyncio.to_thread(wait_for, "traffic", lambda: sum(at > back for at, _ in load.versions) > 50, 60)
    assert load.failures == []
    assert {version for at, version in load.versions if switched < at < asked} == {"v3"}
    assert {version for at, version in load.versions if at > back} == {"v1", "v2"}
    assert {name: server.pids()[name] for name in before} == before


async def test_a_canary_that_raises_is_rolled_back_by_its_gate(server, restored, tmp_path):
    sent = held_out("digits")[0][0]  # every request of the load has this row
    raising = Behaviour(raising_rows=(digest(sent),))
    release = candidate(
        server, "raising", write_candidate(tmp_path / "raising", raising, is_checked=False), "Perceptron"
    )
    async with under_load(server.url) as load:
        code, output = await asyncio.to_thread(server.apply, moved_to(server, "raising", release, CANARY))
        ended = time.monotonic()
        await asyncio.to_thread(wait_for, "traffic", lambda: sum(at > ended for at, _ in load.versions) > 50, 60)
    rollout = server.releases()["models"]["digits"]["rollout"]
    assert (code, rollout["phase"]) == (1, "rolled_back"), output
    assert "error_rate" in rollout["reason"]
    assert rollout["reason"] in output
    assert load.failures
    assert all(failure.startswith("500 ") for failure in load.failures)
    assert len(load.failures) < len(load.statuses) / 4
    assert {version for at, version in load.versions if at > ended} == {"v1", "v2"}


async def test_a_constructor_that_raises_ends_apply_with_its_reason_and_moves_nothing(server, restored, tmp_path):
    release = candidate(server, "broken", write_candidate(tmp_path / "broken", Behaviour()), "Raising")
    before = server.pids()
    async with under_load(server.url, connections=2) as load:
        code, output = await asyncio.to_thread(server.apply, moved_to(server, "broken", release, BLUE_GREEN))
    assert (code, "the weights of this version were lost" in output) == (1, True), output
    assert load.failures == []
    assert {version for _, version in load.versions} == {"v1", "v2"}
    assert server.pids() == before


async def test_traffic_goes_on_without_the_controller_which_comes_back(server):
    (victim,) = server.deployment_pids("gateway", "Releases")
    async with under_load(server.url, connections=2) as load:
        os.kill(victim, signal.SIGKILL)
        await asyncio.to_thread(
            wait_for, "another one", lambda: server.deployment_pids("gateway", "Releases") not in ([], [victim]), 60
        )
        await asyncio.to_thread(wait_for, "its status", lambda: server.releases()["gateways"], 60)
    assert load.failures == []
    assert {version for _, version in load.versions} == {"v1", "v2"}


async def test_a_killed_replica_of_the_only_one_with_90_percent_loses_no_request(server):
    (victim,) = server.pids()["digits-v1"]
    async with under_load(server.url) as load:
        await asyncio.to_thread(wait_for, "traffic", lambda: len(load.statuses) > 50, 60)
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        await asyncio.to_thread(
            wait_for, "v2 alone", lambda: any(at > killed + 1 for at, version in load.versions if version == "v2"), 60
        )
        await asyncio.to_thread(wait_for, "a new replica", lambda: server.pids()["digits-v1"] not in ([], [victim]), 60)
        back = time.monotonic()
        await asyncio.to_thread(
            wait_for, "v1 again", lambda: any(at > back and version == "v1" for at, version in load.versions), 60
        )
    assert load.failures == []
