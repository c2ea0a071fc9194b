"""Shadows: asked what clients asked, compared, and never in their way."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import numpy as np
import pytest
from support.arithmetic import Executor, Recording, predict, rows
from support.decoupled import Counting, server_of
from support.gateway import plane_of, table
from support.waiting import until

from serve_app.data_plane import shadow
from serve_app.data_plane.local import LocalCluster
from serve_app.data_plane.shadow import Shadows, _kept
from serve_app.datatypes import Datatype
from serve_app.observability.metrics import NoMetrics
from serve_app.release.counts import ArmCounts
from serve_app.types import MAX_PRIORITY, InferenceRequest, TensorSpec


@pytest.fixture(autouse=True)
def collect_s(monkeypatch):
    monkeypatch.setattr(shadow, "COLLECT_S", 0.0)


def request(*values: float, **more) -> InferenceRequest:
    return InferenceRequest("arithmetic", {"x": rows(*values)}, **more)


def off_by(tensors, added: int, above: float):
    """The arithmetic model's answers, wrong by `added` for rows of numbers over `above`."""
    wrong = np.where(tensors["x"][:, 0] > above, added, 0)
    answer = predict(tensors)
    return {"y": answer["y"] + wrong[:, None].astype(np.float32), "total": answer["total"] + wrong}


@asynccontextmanager
async def shadowed(call=predict, *, percent: float = 100, points=lambda: 0.0, **changes):
    """A gateway whose v1 answers and whose v2 is its shadow; gives both and what is counted for the shadow."""
    traffic = table(
        arithmetic={"traffic": {"v1": 100}, "labels": {"new": "v2"}, "shadow": [{"to": "v2", "percent": percent}]}
    )
    options = {"metrics": changes.pop("metrics", NoMetrics()), "random_point": points}
    cluster = LocalCluster(Executor("v1"), Executor("v2", call, **changes))
    async with plane_of(cluster, traffic, **options) as plane:
        yield plane, lambda: plane._accounting.arms.of("arithmetic", "v2")


async def settled(arm, copies: int = 1) -> ArmCounts:
    await until(lambda: arm().compared + arm().shadow_errors + arm().dropped >= copies)
    return arm()


async def test_a_copy_is_compared_and_is_none_of_the_shadows_requests():
    async with shadowed() as (plane, arm):
        response = await plane.infer(request(1, 2))
        assert response.model_version == "v1"
        assert await settled(arm) == ArmCounts(compared=1, rows_compared=2)


async def test_the_caller_has_its_answer_while_the_copy_is_still_held():
    model = Recording(held=True)
    async with shadowed(model) as (plane, arm):
        assert (await plane.infer(request(1))).outputs["total"].tolist() == [3]
        await until(model.started.is_set)
        assert [(await plane.infer(request(value))).outputs["total"].tolist() for value in (2, 3)] == [[6], [9]]
        assert arm().compared == 0
        model.release()
        assert (await settled(arm, 3)).compared == 3


async def test_copies_leave_in_one_call_once_there_are_enough(monkeypatch):
    model = Recording()
    async with shadowed(model) as (plane, arm):
        monkeypatch.setattr(shadow, "COLLECT_S", 3600.0)
        monkeypatch.setattr(shadow, "MOST_COPIES", 6)
        for value in (1, 2, 3, 4):
            assert arm() in (None, ArmCounts())
            await plane.infer(request(value))
        assert (await settled(arm, 3)).compared == 3
        assert model.batches == [[1, 2, 3]]
        await plane.infer(request(5))
        await plane.infer(request(6))
        assert (await settled(arm, 6)).compared == 6
        assert model.batches == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(("bound", "value"), [("MOST_ROWS", 8), ("MOST_BYTES", 8 * 32)])
async def test_few_big_copies_are_enough_to_leave(monkeypatch, bound, value):
    async with shadowed() as (plane, arm):
        monkeypatch.setattr(shadow, "COLLECT_S", 3600.0)
        monkeypatch.setattr(shadow, bound, value)
        await plane.infer(request(1, 2, 3, 4))
        assert (await settled(arm)).compared == 1


async def test_one_that_finds_no_room_has_those_leave_that_wait(monkeypatch):
    async with shadowed() as (plane, arm):
        monkeypatch.setattr(shadow, "COLLECT_S", 3600.0)
        monkeypatch.setattr(shadow, "MOST_ROWS", 4)
        await plane.infer(request(1))
        await plane.infer(request(1, 2, 3, 4))
        counted = await settled(arm, 2)
    assert (counted.compared, counted.dropped) == (1, 1)


async def test_a_call_has_as_many_rows_as_the_release_executes_at_a_time(monkeypatch):
    model = Recording()
    async with shadowed(model, max_rows=3) as (plane, arm):
        monkeypatch.setattr(shadow, "COLLECT_S", 3600.0)
        monkeypatch.setattr(shadow, "MOST_COPIES", 6)
        calls, infer = [], plane.directory.route("arithmetic", "v2").coalescer.submit_all

        async def spied(requests, timeout_s):
            calls.append([request.rows for request in requests])
            return await infer(requests, timeout_s)

        plane.directory.route("arithmetic", "v2").coalescer.submit_all = spied
        for values in ((1, 2), (3,), (4, 5)):
            await plane.infer(request(*values))
        assert (await settled(arm, 3)).compared == 3
    assert calls == [[2, 1], [2]]


async def test_a_shadow_that_goes_while_copies_wait_drops_them(monkeypatch):
    async with shadowed() as (plane, arm):
        monkeypatch.setattr(shadow, "COLLECT_S", 3600.0)
        monkeypatch.setattr(shadow, "MOST_COPIES", 4)
        await plane.infer(request(1))
        find = plane.directory.route
        ways = iter([find("arithmetic", "v2")])  # the second copy still finds it
        plane.directory.route = lambda model, version: next(ways, None) if version == "v2" else find(model, version)
        await plane.infer(request(2))
        assert await settled(arm, 2) == ArmCounts(dropped=2)


async def test_one_copy_that_fails_leaves_the_others_of_its_call_alone(monkeypatch):
    def unlucky(inputs):
        if 13 in inputs["x"]:
            raise ValueError("13 brings bad luck")
        return predict(inputs)

    async with shadowed(unlucky) as (plane, arm):
        monkeypatch.setattr(shadow, "COLLECT_S", 3600.0)
        monkeypatch.setattr(shadow, "MOST_COPIES", 6)
        for value in (1, 13, 3):
            await plane.infer(request(value))
        assert await settled(arm, 3) == ArmCounts(compared=2, rows_compared=2, shadow_errors=1)


async def test_disagreement_is_one_row_of_a_request_and_all_its_rows_apart():
    points = iter([0.0, 0.9, 0.0, 0.1, 0.0, 0.9])  # copied, row; of 4 rows 0.9 is the last and 0.1 the first
    async with shadowed(lambda inputs: off_by(inputs, 1, above=2), points=lambda: next(points)) as (plane, arm):
        # the table's only version needs a point for each request as well
        plane._random_point = lambda: 0.0
        for copies in (1, 2):
            await plane.infer(request(1, 2, 3, 4))
            await settled(arm, copies)
        await plane.infer(request(1, 2))
        counted = await settled(arm, 3)
    assert (counted.compared, counted.disagreed) == (3, 1)
    assert (counted.rows_compared, counted.rows_disagreed) == (10, 4)
    assert counted.distance_sum == 0


async def test_floating_predictions_have_a_distance():
    prediction = {"prediction": "y"}
    traffic = table(arithmetic={"traffic": {"v1": 100}, "shadow": [{"to": "v2", "tolerance": 0.5}]})
    wrong = Executor("v2", lambda inputs: off_by(inputs, 3, above=2), **prediction)
    async with plane_of(LocalCluster(Executor("v1", **prediction), wrong), traffic) as plane:
        await plane.infer(request(1, 3))  # apart by 0 and 3; within 0.5 * (1 + 7)
        await plane.infer(request(3))
        counted = await settled(lambda: plane._accounting.arms.of("arithmetic", "v2"), 2)
    assert (counted.disagreed, counted.distance_sum, counted.distance_max) == (0, 4.5, 3.0)
    assert counted.distance_squares == 1.5**2 + 3.0**2


async def test_what_the_client_did_not_ask_for_is_not_compared():
    def other_total(inputs):
        return predict(inputs) | {"total": np.zeros(len(inputs["x"]), np.int64)}

    async with shadowed(other_total) as (plane, arm):
        await plane.infer(request(1, outputs=("y",)))
        assert (await settled(arm)).disagreed == 0
        await plane.infer(request(1, outputs=("y", "total")))
        assert (await settled(arm, 2)).disagreed == 1


async def test_only_so_many_percent_are_copied():
    points = iter([0.29, 0.0, 0.31, 0.29, 0.0])
    async with shadowed(percent=30, points=lambda: next(points)) as (plane, arm):
        plane._random_point = lambda: 0.0
        for _ in range(3):
            await plane.infer(request(1))
            await asyncio.gather(*plane._accounting._shadows._tasks)
        assert arm().compared == 2


async def test_requests_for_a_version_are_not_copied_nor_those_that_the_shadow_itself_answered():
    traffic = table(arithmetic={"traffic": {"v1": 50, "v2": 50}, "shadow": [{"to": "v2"}]})
    model = Recording()
    async with plane_of(
        LocalCluster(Executor("v1"), Executor("v2", model)), traffic, random_point=lambda: 0.9, explains=True
    ) as plane:
        await plane.infer(request(1))
        await plane.infer(request(2, model_version="v1"))
        plane._random_point = lambda: 0.1
        await plane.infer(request(3, explain=True))
        assert plane._accounting._shadows._tasks == set()
        await plane.infer(request(4))
        await settled(lambda: plane._accounting.arms.of("arithmetic", "v2"))
    assert model.batches == [[1], [4]]


async def test_copies_beyond_the_bound_are_dropped_and_counted(monkeypatch):
    monkeypatch.setattr(shadow, "MOST_COPIES", 2)
    model = Recording(held=True)
    async with shadowed(model) as (plane, arm):
        for value in (1, 2, 3):
            await plane.infer(request(value))
        assert arm().dropped == 1
        model.release()
        assert (await settled(arm, 3)).compared == 2
        await plane.infer(request(4))
        assert (await settled(arm, 4)).compared == 3


@pytest.mark.parametrize(("bound", "value"), [("MOST_ROWS", 1), ("MOST_BYTES", 10), ("QUEUE_SHARE", 0.0)])
async def test_copies_that_are_too_big_or_would_fill_the_queue_are_dropped(monkeypatch, bound, value):
    monkeypatch.setattr(shadow, bound, value)
    async with shadowed() as (plane, arm):
        await plane.infer(request(1, 2))
        assert await settled(arm) == ArmCounts(dropped=1)


async def test_a_shadow_that_is_not_ready_or_too_slow_drops_its_copies(monkeypatch):
    traffic = table(arithmetic={"traffic": {"v1": 100}, "shadow": [{"to": "v2"}]})
    async with plane_of(LocalCluster(Executor("v1")), traffic) as plane:
        await plane.infer(request(1))
        assert plane._accounting.arms.of("arithmetic", "v2") == ArmCounts(dropped=1)
    monkeypatch.setattr(shadow, "TIMEOUT_S", 0.01)
    model = Recording(held=True)
    async with shadowed(model) as (plane, arm):
        await plane.infer(request(1))
        assert await settled(arm) == ArmCounts(dropped=1)
        model.release()


def raising(inputs):
    raise ValueError("13 brings bad luck")


@pytest.mark.parametrize(
    ("call", "changes"),
    [
        (raising, {}),
        (predict, {"inputs": (TensorSpec("z", Datatype.FP32, (-1, 3)),)}),
        (lambda inputs: {"y": predict(inputs)["y"]}, {"outputs": (TensorSpec("y", Datatype.FP32, (-1, 3)),)}),
    ],
    ids=["raises", "has other inputs", "lacks the output"],
)
async def test_a_copy_that_fails_or_does_not_fit_is_the_shadows_error_and_nobody_elses(call, changes):
    async with shadowed(call, **changes) as (plane, arm):
        assert (await plane.infer(request(1))).outputs["total"].tolist() == [3]
        assert await settled(arm) == ArmCounts(shadow_errors=1)
        assert plane._accounting.arms.of("arithmetic", "v1").errors == 0


async def test_a_shadow_of_many_responses_cannot_be_compared():
    traffic = table(count={"traffic": {"v1": 100}, "shadow": [{"to": "v2"}]})
    v1, v2 = server_of(Counting()), Executor("v2", model="count")
    async with plane_of(LocalCluster(v1, v2), traffic) as plane:
        responses = [one async for one in plane.stream(InferenceRequest("count", {"upto": np.array([2])}))]
        assert len(responses) == 2
        assert plane._accounting._shadows._tasks == set()


async def test_copies_are_in_no_log_and_no_metric_and_go_last(caplog):
    caplog.set_level("INFO", "serve_app.request")
    told = []

    class Metrics:
        def add(self, metric, value, *labels):
            told.append(labels)

    async with shadowed(metrics=Metrics()) as (plane, arm):
        route = plane.directory.route("arithmetic", "v2")
        entries, submit_all = [], route.coalescer.submit_all

        async def spied(requests, timeout_s):
            entries.extend((request.priority, request.tenant, request.request_id) for request in requests)
            return await submit_all(requests, timeout_s)

        route.coalescer.submit_all = spied
        await plane.infer(request(1, request_id="r1", priority=1, tenant="big"))
        await settled(arm)
    assert entries == [(MAX_PRIORITY, "(shadow)", "r1-shadow")]
    assert {labels[1] for labels in told} == {"v1"}
    assert "-shadow" not in caplog.text


async def test_a_caller_may_write_to_its_arrays_once_it_has_its_answer():
    model = Recording(held=True)
    async with shadowed(model) as (plane, arm):
        asked = request(1)
        response = await plane.infer(asked)
        asked.inputs["x"][:] = 100
        response.outputs["total"][:] = 100
        model.release()
        assert await settled(arm) == ArmCounts(compared=1, rows_compared=1)
    assert model.batches == [[1]]


async def test_big_answers_are_compared_in_a_thread(monkeypatch):
    monkeypatch.setattr(shadow, "IN_LOOP_BYTES", 7)
    async with shadowed() as (plane, arm):
        await plane.infer(request(1))
        assert await settled(arm) == ArmCounts(compared=1, rows_compared=1)


async def test_closing_gives_up_the_copies():
    model = Recording(held=True)
    async with shadowed(model) as (plane, arm):
        await plane.infer(request(1))
        await until(model.started.is_set)
        copies: Shadows = plane._accounting._shadows
        await copies.close()
        assert copies._tasks == set()
        assert copies._loads == {}
        assert arm() == ArmCounts()
        model.release()


def test_a_copy_keeps_no_block_alive_that_it_is_a_small_part_of():
    block = np.zeros((4096, 8), np.float32)
    block.flags.writeable = False
    buffer = np.frombuffer(bytes(4096), np.float32)
    own = np.frombuffer(bytes(64), np.float32)
    kept = _kept({"row": block[3:4], "piece": buffer[:8], "own": own})
    assert [array.base is None for array in kept.values()] == [True, True, False]
    assert kept["own"] is own
    assert kept["row"].shape == (1, 8)
