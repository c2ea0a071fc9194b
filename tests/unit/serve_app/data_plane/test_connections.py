"""Connections: routes come with a description, go with the last replica, and nobody is left waiting."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from support.arithmetic import rows
from support.clusters import Changing, Silent
from support.waiting import until

from serve_app.batching.coalescer import Coalesced
from serve_app.data_plane.cluster import ReleaseState, ReleaseStatus
from serve_app.data_plane.connections import Connections
from serve_app.errors import ReplicaLost
from serve_app.types import InferenceRequest

V1, V2 = "arithmetic-v1", "arithmetic-v2"


async def connected(cluster: Changing, **calls) -> Connections:
    made = Connections(cluster, calls.get("changed", lambda: None), calls.get("look", lambda: None))
    await made.refresh(lambda: {V1, V2})
    return made


def ask(subject: Connections, *values: float) -> asyncio.Task[Coalesced]:
    request = InferenceRequest("arithmetic", {"x": rows(*values)})
    return asyncio.create_task(subject.routes[V1].coalescer.submit(request, 60))


async def test_slots_follow_the_replicas():
    cluster = Changing("v1")
    subject = await connected(cluster)
    assert subject.routes[V1].coalescer.slots == 3
    cluster.replicas = 5
    await subject.refresh(lambda: {V1})
    assert subject.routes[V1].coalescer.slots == 5


async def test_a_call_is_what_a_replica_executes_at_once():
    cluster = Changing("v1", "v2")
    v1, v2 = (cluster.ready[name] for name in (V1, V2))
    v1.info = replace(v1.info, max_rows=16, instances=2)
    v2.info = replace(v2.info, max_rows=16, inputs=(replace(v2.info.inputs[0], shape=(-1, -1)),))
    subject = await connected(cluster)
    assert subject.routes[V1].coalescer.bounds.call_rows == 32
    assert subject.routes[V2].coalescer.bounds.call_rows == 4 * 16  # of several lengths, which share no batch


async def test_a_release_that_lost_its_only_replica_is_left_at_once_and_comes_back():
    calls: list[str] = []
    cluster = Changing("v1", "v2")
    cluster.replicas = 1
    subject = await connected(cluster, changed=lambda: calls.append("changed"), look=lambda: calls.append("look"))
    calls.clear()
    subject.lost(V1)
    assert set(subject.routes) == {V2}
    assert calls == ["changed", "look"]
    await subject.refresh(lambda: {V1, V2})
    assert set(subject.routes) == {V1, V2}


async def test_a_release_with_other_replicas_keeps_its_route():
    subject = await connected(Changing("v1", "v2"))
    subject.lost(V1)
    assert set(subject.routes) == {V1, V2}


async def test_a_release_that_does_not_describe_itself_holds_up_no_other(monkeypatch):
    monkeypatch.setattr("serve_app.data_plane.connections.CONNECT_WAIT_S", 0.01)
    cluster = Changing("v1", "v2")
    answered = asyncio.Event()

    async def describe():
        await answered.wait()
        return cluster.ready[V1].info

    cluster.describe[V1] = describe
    subject = await connected(cluster)
    assert set(subject.routes) == {V2}
    assert subject.reason(V1) == "it is being connected"
    assert subject.is_settled({V2})
    assert not subject.is_settled({V1, V2})
    answered.set()
    await until(lambda: set(subject.routes) == {V1, V2})
    assert subject.is_settled({V1, V2})
    await subject.close()


async def test_a_route_that_goes_is_told_before_another_release_is_waited_for():
    told: list[set[str]] = []
    subject: Connections | None = None

    def routes() -> set[str]:
        return set(subject.routes) if subject else set()

    cluster = Changing("v1")
    subject = await connected(cluster, changed=lambda: told.append(routes()))
    del cluster.ready[V1]
    cluster.ready |= Changing("v2").ready
    answered = asyncio.Event()

    async def describe():
        await answered.wait()
        return cluster.ready[V2].info

    cluster.describe[V2] = describe
    told.clear()
    refresh = asyncio.create_task(subject.refresh(lambda: {V1, V2}))
    await until(lambda: V1 not in subject.routes)
    assert told == [set()]
    answered.set()
    await refresh
    assert told[-1] == {V2}


async def test_a_release_that_cannot_describe_itself_says_why_and_is_tried_again():
    cluster = Changing("v1")

    async def describe():
        raise RuntimeError("no such method")

    cluster.describe[V1] = describe
    subject = await connected(cluster)
    assert (subject.state(V1), subject.reason(V1)) == (
        ReleaseState.LOADING,
        "it does not describe itself: RuntimeError no such method",
    )
    del cluster.describe[V1]
    await subject.refresh(lambda: {V1})
    assert (subject.state(V1), subject.reason(V1)) == (ReleaseState.READY, "")


async def test_requests_on_a_release_without_any_replica_are_given_back():
    cluster = Changing("v1", "v2")
    cluster.replicas = 1
    silent = Silent(cluster)
    subject = await connected(cluster)
    flying = ask(subject, 1)
    await silent.called.wait()
    waiting = ask(subject, 2)
    await asyncio.sleep(0)
    del cluster.ready[V1]
    await subject.refresh(lambda: {V1, V2})
    answers = await asyncio.gather(flying, waiting, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ReplicaLost, ReplicaLost]
    await until(lambda: silent.cancelled)


async def test_a_replica_that_is_stopping_may_still_answer_until_it_is_gone():
    cluster = Changing("v1", "v2")
    silent = Silent(cluster)
    subject = await connected(cluster)
    flying = ask(subject, 1)
    await silent.called.wait()
    del cluster.ready[V1]
    cluster.others[V1] = ReleaseStatus(ReleaseState.UNAVAILABLE, "it is deleting", stopping=1)
    await subject.refresh(lambda: {V1, V2})
    assert set(subject.routes) == {V2}
    assert not flying.done()
    del cluster.others[V1]
    await subject.refresh(lambda: {V1, V2})
    with pytest.raises(ReplicaLost):
        await flying


async def test_what_waits_on_a_release_that_is_only_no_longer_wanted_is_answered_by_it():
    cluster = Changing("v1")
    cluster.replicas = 1
    held = Silent(cluster, until_released=True)
    subject = await connected(cluster)
    flying = ask(subject, 1)
    await held.called.wait()
    waiting = ask(subject, 2)
    await asyncio.sleep(0)
    await subject.refresh(set)
    assert subject.routes == {}
    held.released.set()
    answers = [(await answer).outputs["total"].tolist() for answer in (flying, waiting)]
    assert answers == [[3], [6]]


async def test_a_cluster_that_never_answers_is_an_error(monkeypatch):
    monkeypatch.setattr("serve_app.data_plane.connections.STATUS_TIMEOUT_S", 0.01)
    cluster = Changing("v1")
    cluster.statuses = asyncio.Event().wait
    with pytest.raises(TimeoutError):
        await connected(cluster)


async def test_a_release_that_was_tuned_describes_itself_again_under_the_same_queue():
    cluster = Changing("v1")
    subject = await connected(cluster)
    before = subject.routes[V1]
    executor = cluster.ready[V1]
    executor.info = replace(executor.info, max_rows=2, max_queue_rows=5)
    await ask(subject, 1)
    await until(lambda: subject.routes[V1].info.max_rows == 2)
    assert subject.routes[V1].coalescer is before.coalescer
    assert (before.coalescer.bounds.queue_rows, before.coalescer.bounds.call_rows) == (5, 2)


@pytest.mark.parametrize("first", [ConnectionError(), "the settings of before"])
async def test_a_replica_that_is_tuned_later_or_does_not_answer_is_not_the_last_word(monkeypatch, first):
    monkeypatch.setattr("serve_app.data_plane.connections.RENEW_PAUSE_S", 0.01)
    cluster, asked = Changing("v1"), list[int]()
    subject = await connected(cluster)
    before, executor = subject.routes[V1].info, cluster.ready[V1]
    executor.info = replace(executor.info, max_rows=2)

    async def describe():
        asked.append(1)
        if len(asked) > 2:
            return executor.info
        if isinstance(first, Exception):
            raise first
        return before

    subject.routes[V1].client.describe = describe
    await ask(subject, 1)
    await until(lambda: subject.routes[V1].info.max_rows == 2)
    assert len(asked) == 3


async def test_a_release_is_not_asked_forever_for_settings_that_nobody_describes(monkeypatch, caplog):
    monkeypatch.setattr("serve_app.data_plane.connections.RENEW_PAUSE_S", 0.001)
    monkeypatch.setattr("serve_app.data_plane.connections.RENEW_S", 0.02)
    cluster = Changing("v1")
    subject = await connected(cluster)
    before, executor = subject.routes[V1].info, cluster.ready[V1]
    executor.info = replace(executor.info, max_rows=2)

    async def describe():
        return before

    subject.routes[V1].client.describe = describe
    await ask(subject, 1)
    await until(lambda: "no replica describes the settings of its last reply" in caplog.text)
    assert subject.routes[V1].info == before


async def test_the_client_of_a_route_that_was_left_is_closed_once_its_calls_have_landed():
    cluster, closed = Changing("v1"), list[str]()
    cluster.replicas = 1
    held = Silent(cluster, until_released=True)
    subject = await connected(cluster)
    subject.routes[V1].client.close = lambda: closed.append(V1)
    flying = ask(subject, 1)
    await held.called.wait()
    await subject.refresh(set)
    assert closed == []
    held.released.set()
    await flying
    await asyncio.sleep(0)
    await subject.refresh(set)
    await subject.refresh(set)
    assert closed == [V1]


async def test_a_release_that_moved_gets_another_client_without_a_gap():
    cluster = Changing("v1")
    subject = await connected(cluster)
    before = subject.routes[V1]
    there = cluster.statuses

    async def statuses():
        return {name: replace(status, is_inline=True) for name, status in (await there()).items()}

    cluster.statuses = statuses
    await subject.refresh(lambda: {V1})
    assert subject.routes[V1].client is not before.client
    assert subject.routes[V1].is_inline
    assert (await ask(subject, 2)).outputs["total"].tolist() == [6]
