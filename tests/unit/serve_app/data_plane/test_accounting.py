"""Accounting: the log hears of every request, the counters of those that the split sent."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from support.arithmetic import Executor, rows
from support.decoupled import Counting, server_of
from support.gateway import plane_of, table
from support.waiting import until

from serve_app.batching.coalescer import Bounds
from serve_app.data_plane.local import LocalCluster
from serve_app.errors import DeadlineUnreachable, InvalidInput, ModelRaised, Overloaded, ReplicaLost
from serve_app.protocol.call import Call
from serve_app.release.counts import ArmCounts
from serve_app.release.messages import Feedback
from serve_app.types import InferenceRequest

EXPERIMENT = {
    "traffic": {"v1": 50, "v2": 50},
    "labels": {"canary": "v2"},
    "sticky": {"parameter": "user"},
    "experiment": {"name": "button", "control": "v1"},
}
WINDOW = "arithmetic:experiment:button"


def request(*values: float, **more) -> InferenceRequest:
    return InferenceRequest("arithmetic", {"x": rows(*values)}, **more)


def raising(inputs):
    raise ValueError("13 brings bad luck")


def gateway(*executors, traffic: dict[str, object], point: float = 0.1):
    cluster = LocalCluster(*(executors or (Executor("v1"), Executor("v2"))))
    return plane_of(cluster, table(arithmetic=traffic), random_point=lambda: point)


def counted(plane) -> dict[str, dict[str, tuple[int, int]]]:
    return {
        window: {version: (arm.requests, arm.errors) for version, arm in arms.items()}
        for window, arms in plane._accounting.arms.read().items()
    }


async def test_only_what_the_split_sent_is_counted():
    async with gateway(Executor("v1"), Executor("v2", raising), traffic=EXPERIMENT) as plane:
        await plane.infer(request(1))
        await plane.infer(request(1, model_version="v1"))
        with pytest.raises(ModelRaised):
            await plane.infer(request(1, model_version="canary"))
        with pytest.raises(InvalidInput):
            await plane.infer(InferenceRequest("arithmetic", {}))
        assert counted(plane) == {WINDOW: {"v1": (1, 0)}}


async def test_an_error_is_its_versions():
    async with gateway(Executor("v1"), Executor("v2", raising), traffic=EXPERIMENT, point=0.9) as plane:
        with pytest.raises(ModelRaised):
            await plane.infer(request(1, parameters={"user": "somebody"}))
        (arms,) = counted(plane).values()
        assert list(arms.values()) == [(1, 1)]


async def test_what_is_declared_is_a_window_of_its_own():
    async with gateway(traffic={"traffic": {"v1": 100, "v2": 0}}) as plane:
        await plane.infer(request(1))
        await plane.infer(request(1))
        first = plane.directory.fingerprints["arithmetic"]
        plane.set_table(table(arithmetic={"traffic": {"v1": 0, "v2": 100}}))
        await plane.infer(request(1))
        second = plane.directory.fingerprints["arithmetic"]
        assert counted(plane) == {f"arithmetic:{first}": {"v1": (2, 0)}, f"arithmetic:{second}": {"v2": (1, 0)}}


async def test_a_call_without_hope_is_a_missed_deadline_of_the_version_it_would_have_had():
    async with gateway(Executor("v1"), traffic={"traffic": {"v1": 100}}) as plane:
        plane._lag.lag_s = 60.0
        for version in ("", "v1"):
            with pytest.raises(DeadlineUnreachable):
                plane.refuse_hopeless(Call("arithmetic", version, request_id="r1"))
        assert plane._accounting.arms.of("arithmetic", "v1") == ArmCounts(requests=1, deadline_misses=1)


async def test_a_full_queue_is_a_refusal():
    async with gateway(Executor("v1"), traffic={"traffic": {"v1": 100}}) as plane:
        plane.directory.route("arithmetic", "v1").coalescer.bounds = Bounds(queue_rows=1)
        with pytest.raises(Overloaded):
            await plane.infer(request(1, 2))
        assert plane._accounting.arms.of("arithmetic", "v1") == ArmCounts(requests=1, refused=1)


async def test_a_stream_is_one_request():
    traffic = table(count={"traffic": {"v1": 100}, "shadow": [{"to": "v2"}]})
    async with plane_of(LocalCluster(server_of(Counting())), traffic) as plane:
        stream = plane.stream(InferenceRequest("count", {"upto": np.array([3])}))
        assert len([response async for response in stream]) == 3
        assert plane._accounting.arms.of("count", "v1").requests == 1


async def test_answers_of_an_experiment_can_be_judged_and_others_cannot():
    async with gateway(traffic=EXPERIMENT) as plane:
        await plane.infer(request(1, request_id="right", parameters={"user": "somebody"}))
        await plane.infer(request(2, request_id="wrong", parameters={"user": "somebody"}))
        await plane.infer(request(2, request_id="asked for", model_version="v1"))
        plane.feedback([Feedback("right", "3"), Feedback("wrong", "7", 0.5), Feedback("asked for", "6")])
        (arms,) = plane._accounting.arms.read().values()
        (arm,) = arms.values()
        assert (arm.judged, arm.correct, arm.rewarded, arm.reward_sum) == (2, 1, 1, 0.5)
        assert [item.request_id for item in plane._accounting.ledger.unknown().values()] == ["asked for"]
    async with gateway(traffic={"traffic": {"v1": 100}}) as plane:
        await plane.infer(request(1, request_id="r1"))
        plane.feedback([Feedback("r1", "3")])
        assert plane._accounting.arms.of("arithmetic", "v1").judged == 0


async def test_a_fault_of_ours_behind_an_answer_does_not_take_it_away(monkeypatch, caplog):
    async with gateway(traffic=EXPERIMENT) as plane:
        monkeypatch.setattr(plane._accounting.ledger, "remember", raising)
        assert (await plane.infer(request(1, request_id="r1"))).outputs["total"].tolist() == [3]
    assert "the answer to r1 is neither copied nor remembered" in caplog.text


async def test_closing_gives_up_copies():
    started = asyncio.Event()

    class Hanging(Executor):
        async def infer(self, *blocks):
            started.set()
            await asyncio.Event().wait()

    async with gateway(
        Executor("v1"), Hanging("v2"), traffic={"traffic": {"v1": 100}, "shadow": [{"to": "v2"}]}
    ) as plane:
        await plane.infer(request(1))
        await started.wait()
        await plane._accounting.close()
        await until(lambda: not plane._accounting._shadows._tasks)


async def test_a_request_whose_replica_died_is_an_error_of_that_version_whoever_answers_it_then():
    async with gateway(traffic=EXPERIMENT) as plane:
        accounting, one = plane._accounting, request(1)
        accounting.lost(one, "v2", ReplicaLost("arithmetic-v2"))
        accounting.answered(one, await plane.infer(request(1, model_version="v1")), 0.5, was_lost=True)
        accounting.failed(one, "v1", 0.5, ReplicaLost("arithmetic-v1"), was_lost=True)
        accounting.lost(request(1, model_version="v2"), "v2", ReplicaLost("arithmetic-v2"))
        assert counted(plane) == {WINDOW: {"v2": (1, 1)}}
