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
from serve_app.release.messages import LiveModel, LiveTable

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


async def test_it_is_settled_once_it_has_what_there_is_though_not_all_is_there():
    subject = Directory(Changing("v1"))
    await subject.refresh()
    assert not subject.is_settled()
    subject.set_table(table(arithmetic={"traffic": {"v1": 90, "v2": 10}}, other={"traffic": {"v1": 100}}))
    assert not subject.is_settled()
    await subject.refresh()
    assert subject.is_settled()
    assert not subject.is_ready()


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


def live(subject: Directory, base: str = "", **model) -> LiveTable:
    fingerprint = base or subject.fingerprints["arithmetic"]
    return LiveTable(7, {"arithmetic": LiveModel(fingerprint, "rollout-1", **model)})


async def test_the_live_table_stands_in_for_the_declared_entry_it_knows():
    subject = await directory(Changing("v1", "v2"))
    subject.set_live(live(subject, traffic={"v1": 40, "v2": 60}, labels={"stable": "v2"}))
    assert picked(subject) == {"v1": 40, "v2": 60}
    assert picked(subject, "stable") == {"v2": 100}
    v1, v2 = subject.versions("arithmetic")
    assert (v1.traffic, v1.effective, v1.labels) == (40, 40, ())
    assert (v2.traffic, v2.effective, v2.labels) == (60, 60, ("stable",))
    with pytest.raises(VersionNotFound, match="'canary'"):
        subject.resolve("arithmetic", "canary", 0.5)


async def test_a_live_table_for_another_declared_entry_has_no_effect():
    subject = await directory(Changing("v1", "v2"))
    subject.set_live(live(subject, base="of another entry", traffic={"v2": 100}))
    assert picked(subject) == {"v1": 90, "v2": 10}
    assert subject.live.revision == 7


async def test_declaring_another_entry_ends_the_live_one_and_declaring_it_again_brings_it_back():
    subject = await directory(Changing("v1", "v2"))
    subject.set_live(live(subject, traffic={"v2": 100}))
    subject.set_table(table(arithmetic={"traffic": {"v1": 100, "v2": 0}}))
    assert picked(subject) == {"v1": 100}
    subject.set_table(table(arithmetic=SPLIT))
    assert picked(subject) == {"v2": 100}


async def test_versions_that_only_the_live_table_names_are_connected():
    subject = await directory(Changing("v1", "v2", "v3"))
    subject.set_live(live(subject, traffic={"v3": 100}))
    assert picked(subject) == {"v1": 90, "v2": 10}
    await subject.refresh()
    assert picked(subject) == {"v3": 100}
    assert picked(subject, "v1") == {"v1": 100}


async def test_the_same_live_table_again_changes_nothing_and_wakes_nobody():
    subject = await directory(Changing("v1", "v2"))
    subject.set_live(live(subject, traffic={"v2": 100}))
    waiting = asyncio.create_task(subject.changed(10))
    await asyncio.sleep(0)
    subject.set_live(live(subject, traffic={"v2": 100}))
    await asyncio.sleep(0)
    assert not waiting.done()
    subject.set_live(live(subject, traffic={"v1": 100}))
    await waiting


async def test_a_label_keeps_its_version_until_the_next_one_is_ready():
    cluster = Changing("v1", "v2")
    subject = await directory(cluster)
    subject.set_table(table(arithmetic={"traffic": {"v1": 100}, "labels": {"canary": "v3"}}))
    await subject.refresh()
    assert picked(subject, "canary") == {"v2": 100}
    assert [(status.version, status.labels) for status in subject.versions("arithmetic")] == [
        ("v1", ()),
        ("v2", ("canary",)),
        ("v3", ()),
    ]
    cluster.ready["arithmetic-v3"] = Executor("v3")
    await subject.refresh()
    assert picked(subject, "canary") == {"v3": 100}
    with pytest.raises(VersionNotFound):
        subject.resolve("arithmetic", "v2", 0.5)


async def test_a_label_whose_old_version_went_too_says_what_the_new_one_waits_for():
    cluster = Changing("v1", "v2")
    subject = await directory(cluster)
    subject.set_live(live(subject, traffic={"v1": 100}, labels={"canary": "v3"}))
    away = cluster.ready.pop("arithmetic-v2")
    await subject.refresh()
    with pytest.raises(ModelNotReady, match="arithmetic v3 is not ready: no application"):
        subject.resolve("arithmetic", "canary", 0.5)
    cluster.ready["arithmetic-v2"] = away
    await subject.refresh()
    assert picked(subject, "canary") == {"v2": 100}


async def test_a_label_that_has_moved_does_not_go_back_when_its_version_crashes():
    cluster = Changing("v1", "v2")
    subject = await directory(cluster)
    subject.set_table(table(arithmetic={"traffic": {"v1": 100, "v2": 0}, "labels": {"stable": "v2"}}))
    del cluster.ready["arithmetic-v2"]
    await subject.refresh()
    with pytest.raises(ModelNotReady, match="arithmetic v2"):
        subject.resolve("arithmetic", "stable", 0.5)


async def test_a_route_is_given_for_ready_versions_only():
    subject = await directory(Changing("v1"))
    assert subject.route("arithmetic", "v1").info.version == "v1"
    assert subject.route("arithmetic", "v2") is None
