"""Releases of the running server: nothing restarts without need, nothing bad gets traffic, nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import hashlib
import os
import pickle
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml
from support.load import under_load
from support.server import wait_for


def test_the_same_file_twice_changes_nothing(server):
    before = server.pids()
    assert all(before.values())
    for _ in range(2):
        server.deploy(server.config)
        wait_for("all applications running", lambda: all_running(server), 60)
    assert server.pids() == before


def all_running(server) -> bool:
    return all(application["status"] == "RUNNING" for application in server.applications().values())


async def test_a_changed_table_moves_all_traffic_within_two_seconds_and_loses_nothing(server, restored):
    before = server.pids()
    changed = server.with_traffic(digits={"traffic": {"v2": 100}, "labels": {"stable": "v2"}})
    async with under_load(server.url) as load:
        await asyncio.to_thread(wait_for, "traffic", lambda: len(load.statuses) > 100, 60)
        await asyncio.to_thread(server.deploy, changed)
        deployed = time.monotonic()
        seen = len(load.versions)
        await asyncio.to_thread(wait_for, "three more seconds", lambda: time.monotonic() > deployed + 3, 30)
    assert load.failures == []
    assert "v1" in {version for _, version in load.versions[:seen]}
    late = {version for at, version in load.versions if at > deployed + 2}
    assert late == {"v2"}
    assert server.pids() == before


async def test_a_model_with_one_replica_goes_on_answering_while_it_is_tuned(server, restored):
    before = server.pids()
    async with under_load(server.url, model="digits-ensemble") as load, polled_rows(server, "digits-ensemble") as rows:
        await asyncio.to_thread(wait_for, "traffic", lambda: len(load.statuses) > 100, 60)
        for slo_ms in (1501, 1502, 1503, 1504):
            await asyncio.to_thread(tune, server, "digits-ensemble", slo_ms)
    assert load.failures == []
    assert rows == sorted(rows)
    assert rows[-1] > rows[0]
    assert server.pids() == before


async def test_nobody_notices_that_serves_controller_is_killed(server):
    before = server.pids()
    async with under_load(server.url) as load:
        await asyncio.to_thread(wait_for, "traffic", lambda: len(load.statuses) > 100, 60)
        killed = controller_of_serve()
        assert killed
        killed.kill()
        await asyncio.to_thread(wait_for, "another controller", lambda: controller_of_serve() not in (None, killed), 60)
        await asyncio.to_thread(wait_for, "its replicas", lambda: server.pids() == before, 60)
        seen = len(load.statuses)
        await asyncio.to_thread(wait_for, "traffic with it", lambda: len(load.statuses) > seen + 300, 60)
    assert load.failures == []


def controller_of_serve() -> psutil.Process | None:
    """The process that decides which replicas there are."""
    found = (one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"])
    return next((one for one in found if " ".join(one.info["cmdline"]).startswith("ray::ServeController")), None)


@contextlib.asynccontextmanager
async def polled_rows(server, model: str):
    """How many rows a model's statistics tell, again and again until left; every answer has to be right."""
    rows = list[int]()

    async def poll() -> None:
        async with httpx.AsyncClient(timeout=30) as client:
            while True:
                answer = (await client.get(f"{server.url}/v2/models/{model}/stats")).raise_for_status().json()
                rows.append(answer["model_stats"][0]["inference_count"])
                await asyncio.sleep(0.05)  # as a monitor asks; other clients have these cores too

    polling = asyncio.create_task(poll())
    try:
        yield rows
    finally:
        was_well = polling.cancel()
        await asyncio.wait([polling])
    assert was_well, polling.result()


def tune(server, model: str, slo_ms: int) -> None:
    """Declare another objective of its version v1 and wait until its metadata have it."""
    changed = copy.deepcopy(server.config)
    release = next(one for one in changed["applications"] if one["name"] == f"{model}-v1")
    release["deployments"] = [{"name": model, "user_config": {"slo_ms": slo_ms}}]
    server.deploy(changed)
    metadata = f"{server.url}/v2/models/{model}"
    wait_for("the objective", lambda: httpx.get(metadata).json().get("parameters", {}).get("slo_ms") == slo_ms, 30)


def spoiled(server, tmp_path: Path, version: str, **changes: Any) -> dict[str, Any]:
    """A release of digits v1's artifact under another tag, its folder copied and its arguments changed."""
    folder = tmp_path / version
    shutil.copytree(server.root / "models/digits/v1", folder)
    return {
        "name": f"digits-{version}",
        "route_prefix": None,
        "import_path": "graphs.inference:build",
        "args": {"model": "digits", "version": version, "source": str(folder), **changes},
    }


def edit_manifest(folder: Path, **changes: Any) -> None:
    path = folder / "model.yaml"
    manifest = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**manifest, **changes}))


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.proof,)


def bad_releases(server, tmp_path: Path) -> dict[str, tuple[dict[str, Any], str]]:
    """By version: the release and a part of what its state must say."""
    tampered = spoiled(server, tmp_path, "tampered")
    with (tmp_path / "tampered/digits.onnx").open("ab") as artifact:
        artifact.write(b"\0")
    untrusted = spoiled(server, tmp_path, "untrusted")
    stolen = pickle.dumps(Payload(tmp_path / "proof"))
    (tmp_path / "untrusted/model.pkl").write_bytes(stolen)
    digest = hashlib.sha256(stolen).hexdigest()
    edit_manifest(tmp_path / "untrusted", format="pickle", artifact="model.pkl", sha256=digest)
    wrong = spoiled(server, tmp_path, "wronggolden")
    manifest = yaml.safe_load((tmp_path / "wronggolden/model.yaml").read_text())
    manifest["golden"][0]["outputs"]["label"] = [(manifest["golden"][0]["outputs"]["label"][0] + 1) % 10]
    edit_manifest(tmp_path / "wronggolden", golden=manifest["golden"])
    raising = spoiled(server, tmp_path, "raising", python_class="no_such_module:Model")
    edit_manifest(tmp_path / "raising", format="python", artifact=None, sha256=None)
    return {
        "tampered": (tampered, "the manifest says"),
        "untrusted": (untrusted, digest),
        "wronggolden": (wrong, "golden"),
        "raising": (raising, "no_such_module"),
    }


async def test_bad_releases_get_no_traffic_and_say_why_while_the_others_serve(server, restored, tmp_path):
    bad = bad_releases(server, tmp_path)
    traffic = {"v1": 50, "v2": 10, **dict.fromkeys(bad, 10)}
    changed = server.with_traffic(digits={"traffic": traffic, "labels": {"stable": "v1", "canary": "v2"}})
    changed["applications"] += [release for release, _ in bad.values()]
    before = server.pids()

    def all_refused() -> bool:
        index = server.index()
        found = {tag: index[("digits", tag)] for tag in bad if ("digits", tag) in index}
        return found.keys() == bad.keys() and all(
            found[tag]["state"] == "UNAVAILABLE" and says in found[tag]["reason"] for tag, (_, says) in bad.items()
        )

    async with under_load(server.url, connections=2) as load:
        await asyncio.to_thread(server.deploy, changed)
        await asyncio.to_thread(wait_for, "the refusal of all bad releases", all_refused, 150)
    index = server.index()
    for tag, (_, says) in bad.items():
        assert says in index[("digits", tag)]["reason"], index[("digits", tag)]
        assert index[("digits", tag)]["effective_traffic"] == 0
        status, sentence = server.readiness("digits", tag)
        assert (status, says in sentence) == (503, True), sentence
    assert load.failures == []
    assert {version for _, version in load.versions} == {"v1", "v2"}
    assert not (tmp_path / "proof").exists()
    after = server.pids()
    assert {name: after[name] for name in before} == before


async def test_a_table_that_is_wrong_is_refused_and_the_old_one_serves_on(server, restored):
    before = server.pids()
    broken = server.with_traffic(digits={"traffic": {"v1": 50}, "labels": {}})
    async with under_load(server.url, connections=2) as load:
        await asyncio.to_thread(server.deploy, broken)
        await asyncio.to_thread(wait_for, "more answers", lambda: len(load.statuses) > 300, 60)
    assert load.failures == []
    assert {version for _, version in load.versions} == {"v1", "v2"}
    assert server.pids() == before
    ready = server.ready()
    assert ready["ready"] is True
    assert "traffic weights sum up to 50, not to 100" in ready["error"]


async def test_a_killed_release_replica_loses_no_request(server):
    (victim,) = server.pids()["digits-v1"]
    async with under_load(server.url) as load:
        await asyncio.to_thread(wait_for, "traffic", lambda: len(load.statuses) > 50, 60)
        os.kill(victim, signal.SIGKILL)
        await asyncio.to_thread(wait_for, "a new replica", lambda: server.pids()["digits-v1"] not in ([], [victim]), 60)
        seen = len(load.versions)
        await asyncio.to_thread(
            wait_for, "v1 again", lambda: "v1" in {version for _, version in load.versions[seen:]}, 60
        )
    assert load.failures == []
