from __future__ import annotations

import json

from support.controllers import Clock, FakeApplications, FakeGateway, MemoryStore

from serve_app.observability.metrics import NoMetrics
from serve_app.release.commands import StartRollout
from serve_app.release.controller import Controller

TABLE = {"digits": {"traffic": {"v1": 100, "v2": 0}, "labels": {"stable": "v1"}}}
CANARY = {"strategy": "canary", "steps": [{"percent": 10, "seconds": 60}, {"percent": 50, "seconds": 60}]}


async def test_status_tells_all_there_is_as_json():
    clock, store = Clock(), MemoryStore()
    controller = Controller(store, FakeApplications(), NoMetrics(), clock=clock)
    gateway = FakeGateway("a", TABLE, "digits-v1", "digits-v2")
    await gateway.exchange(controller)
    await controller.command(
        StartRollout(model="digits", traffic={"v2": 100}, labels={"stable": "v2"}, rollout=CANARY, actor="ann")
    )
    await controller.look()
    await gateway.exchange(controller)
    gateway.counted("digits", "v2", requests=5)
    await gateway.exchange(controller)
    clock.passes(2.0)
    document = await controller.status()
    assert json.loads(json.dumps(document)) == document
    digits = document["models"]["digits"]
    assert digits["declared"] == {"traffic": {"v1": 100.0, "v2": 0.0}, "labels": {"stable": "v1"}}
    assert digits["traffic"] == {"v1": 90.0, "v2": 10.0}
    assert digits["versions"]["v2"] == {"ready": True, "reason": "", "gateways": 1}
    assert digits["counts"] == {"v2": {"requests": 5}}
    rollout = digits["rollout"]
    assert (rollout["phase"], rollout["step"], rollout["steps"], rollout["percent"]) == ("running", 1, 2, 10.0)
    assert rollout["from"] == {"traffic": {"v1": 100.0, "v2": 0.0}, "labels": {"stable": "v1"}}
    assert rollout["to"] == {"traffic": {"v2": 100.0}, "labels": {"stable": "v2"}}
    assert (rollout["seconds_in_step"], rollout["actor"]) == (2.0, "ann")
    assert document["gateways"] == [{"gateway": "a", "revision": document["revision"], "age_s": 2.0}]
    assert [event["kind"] for event in document["events"]] == ["step", "rollout_started"]


async def test_a_database_that_is_away_is_told():
    store = MemoryStore()
    controller = Controller(store, FakeApplications(), NoMetrics(), clock=Clock())
    store.away = "connection refused"
    controller.events.happened(controller.events.made("step", "digits", "ann", "moved"))
    await controller.look()
    assert (await controller.status())["database"] == "connection refused"


async def test_without_gateways_there_are_no_models():
    document = await Controller(MemoryStore(), FakeApplications(), NoMetrics(), clock=Clock()).status()
    assert (document["models"], document["gateways"]) == ({}, [])
