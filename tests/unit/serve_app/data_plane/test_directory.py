"""The directory: traffic only to ready versions, old stays until new is ready, and it says why."""

from __future__ import annotations

import asyncio

import pytest
from support.arithmetic import Executor
from support.clusters import Changing
from support.gateway import table
from support.waiting import until

from serve_app.data_plane.cluster import ReleaseState, ReleaseStatus
from serve_app.data_plane.directory import Directory
from serve_app.errors import ModelNotFound, ModelNotReady, VersionNotFound

SPLIT = {"traffic": {"v1": 90, "v2": 10}, "labels": {"stable": "v1", "canary": "v2"}}


async def directory(cluster, **traffic) -> Directory:
    made = Directory(cluster)
    made.set_table(table(arithmetic=traffic or SPLIT))
    await made.refresh()
    return made


def picked(subject: Directory, version: str = "") -> dict[str, int]:
    tags = [subject.resolve("arithmetic", version, point / 100).info.version for point in range(100)]
    return {tag: tags.count(tag) for tag in sorted(set(tags))}


async def test_traffic_follows_the_weights():
    assert picked(await directory(Changing("v1", "v2"))) == {"v1": 90, "v2": 10}


async def test_a_version_or_label_wins_over_the_split():
    subject = await directory(Changing("v1", "v2"))
    assert picked(subject, "v2") == {"v2": 100}
    assert picked(subject, "canary") == {"v2": 100}
    assert picked(subject, "stable") == {"v1": 100}


async def test_a_user_stays_while_its_version_is_ready_and_comes_back_to_it():
    cluster, users = Changing("v1", "v2"), [f"u{number}" for number in range(40)]
    subject = await directory(cluster, **SPLIT, sticky={"header": "x-user"})

    def versions(point: float) -> list[str]:
        return [subject.resolve("arithmetic", "", point, user).info.version for user in users]

    before = versions(0.0)
    assert (set(before), versions(0.99)) == ({"v1", "v2"}, before)
    assert subject.resolve("arithmetic", "canary", 0.0, users[0]).info.version == "v2"
    gone = cluster.ready.pop("arithmetic-v2")
    await subject.refresh()
    assert set(versions(0.0)) == {"v1"}
    cluster.ready["arithmetic-v2"] = gone
    await subject.refresh()
    assert versions(0.0) == before


async def test_what_keeps_users_is_the_tables():
    subject = await directory(Changing("v1"), **SPLIT, sticky={"cookie": "sid"})
    assert subject.sticky("arithmetic").cookie == "sid"
    assert subject.sticky("cats") is None
    subject.set_table(table(arithmetic=SPLIT))
    assert subject.sticky("arithmetic") is None


async def test_a_version_that_is_not_ready_gets_nothing_and_says_why():
    cluster = Changing("v1")
    cluster.others["arithmetic-v2"] = ReleaseStatus(ReleaseState.UNAVAILABLE, "CheckFailed: golden 0")
    subject = await directory(cluster)
    assert picked(subject) == {"v1": 100}
    with pytest.raises(ModelNotReady, match="arithmetic v2 is not ready: CheckFailed: golden 0"):
        subject.resolve("arithmetic", "canary", 0.5)
    v1, v2 = subject.versions("arithmetic")
    assert (v1.state, v1.traffic, v1.effective, v1.labels) == ("READY", 90, 100, ("stable",))
    assert (v2.state, v2.traffic, v2.effective, v2.reason) == ("UNAVAILABLE", 10, 0, "CheckFailed: golden 0")


async def test_a_version_is_taken_into_use_once_it_is_ready():
    cluster = Changing("v1")
    subject = await directory(cluster)
    cluster.ready["arithmetic-v2"] = Executor("v2")
    await subject.refresh()
    assert picked(subject) == {"v1": 90, "v2": 10}


async def test_without_any_ready_version_the_reasons_are_told():
    cluster = Changing()
    cluster.others["arithmetic-v1"] = ReleaseStatus(ReleaseState.LOADING, "it is starting")
    subject = await directory(cluster)
    assert not subject.is_ready()
    with pytest.raises(ModelNotReady, match="v1: it is starting; v2: no application of that name is deployed"):
        subject.resolve("arithmetic", "", 0.5)


async def test_old_stays_until_new_is_ready():
    cluster = Changing("v1")
    subject = await directory(cluster)
    subject.set_table(table(arithmetic={"traffic": {"v3": 100}}))
    await subject.refresh()
    assert picked(subject) == {"v1": 100}
    cluster.ready["arithmetic-v3"] = Executor("v3")
    await subject.refresh()
    assert picked(subject) == {"v3": 100}
    with pytest.raises(VersionNotFound, match="has no version or label 'v1'; it has: v3"):
        subject.resolve("arithmetic", "v1", 0.5)


async def test_a_release_that_goes_away_is_left_at_the_next_look():
    cluster = Changing("v1", "v2")
    subject = await directory(cluster)
    del cluster.ready["arithmetic-v1"]
    await subject.refresh()
    assert picked(subject) == {"v2": 100}
    assert subject.is_ready()


async def test_weight_zero_gets_no_traffic_but_can_be_asked_for():
    subject = await directory(Changing("v1", "v2"), traffic={"v1": 100, "v2": 0})
    assert picked(subject) == {"v1": 100}
    assert picked(subject, "v2") == {"v2": 100}


async def test_unknown_names_list_what_there_is():
    subject = await directory(Changing("v1", "v2"))
    with pytest.raises(ModelNotFound, match="model 'cats' is not served here; served are: arithmetic"):
        subject.resolve("cats", "", 0.5)
    with pytest.raises(VersionNotFound, match="it has: v1, v2, canary, stable"):
        subject.resolve("arithmetic", "v9", 0.5)


async def test_a_new_table_is_looked_after_at_once():
    cluster = Changing("v1")
    subject = Directory(cluster)
    watch = asyncio.create_task(subject.watch(period_s=3600))
    await until(lambda: cluster.asked == 1)
    subject.set_table(table(arithmetic={"traffic": {"v1": 100}}))
    await until(subject.is_ready)
    watch.cancel()


async def test_a_cluster_that_is_away_keeps_the_last_routes(caplog):
    cluster = Changing("v1", "v2")
    subject = await directory(cluster)
    down = asyncio.Event()

    async def fail():
        down.set()
        raise ConnectionError("the controller is away")

    cluster.statuses = fail
    watch = asyncio.create_task(subject.watch(period_s=3600))
    await asyncio.wait_for(down.wait(), 5)
    await until(lambda: "could not refresh" in caplog.text)
    assert picked(subject) == {"v1": 90, "v2": 10}
    watch.cancel()


async def test_old_versions_stay_one_by_one_until_a_new_one_is_ready():
    cluster = Changing("v1", "v2")
    subject = await directory(cluster)
    subject.set_table(table(arithmetic={"traffic": {"v3": 100}}))
    del cluster.ready["arithmetic-v1"]
    await subject.refresh()
    assert picked(subject) == {"v2": 100}


async def test_an_old_version_that_crashes_meanwhile_comes_back():
    cluster = Changing("v1")
    subject = await directory(cluster)
    subject.set_table(table(arithmetic={"traffic": {"v3": 100}}))
    away = cluster.ready.pop("arithmetic-v1")
    await subject.refresh()
    assert not subject.is_ready()
    cluster.ready["arithmetic-v1"] = away
    await subject.refresh()
    assert picked(subject) == {"v1": 100}
