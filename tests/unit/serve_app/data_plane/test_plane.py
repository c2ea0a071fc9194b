"""The data plane: validated, routed, executed, accounted for."""

from __future__ import annotations

import asyncio
import itertools
import json
import time

import numpy as np
import pytest
from support.arithmetic import Executor, Recording, rows
from support.decoupled import Counting, server_of
from support.gateway import plane_of, table
from support.waiting import until

from serve_app.batching.coalescer import Bounds
from serve_app.config.gateway import LimitsConfig
from serve_app.data_plane.local import LocalCluster
from serve_app.data_plane.plane import DataPlane
from serve_app.data_plane.second_try import Attempt
from serve_app.errors import (
    DeadlineExceeded,
    Forbidden,
    InvalidInput,
    InvalidTable,
    ModelNotFound,
    NotSupported,
    ReplicaLost,
)
from serve_app.observability.metrics import ERRORS, LATENCY, QUEUE, REQUESTS, NoMetrics
from serve_app.observability.request_log import RequestLog
from serve_app.types import InferenceRequest

TRAFFIC = table(arithmetic={"traffic": {"v1": 50, "v2": 50}, "labels": {"canary": "v2"}})


class Metrics(list):
    def add(self, metric, value, *labels):
        self.append((metric.name, labels))


def request(*values: float, **more) -> InferenceRequest:
    return InferenceRequest("arithmetic", {"x": rows(*values)}, **more)


def plane(*executors, **options):
    return plane_of(LocalCluster(*(executors or (Executor("v1"), Executor("v2")))), TRAFFIC, **options)


async def test_a_request_is_answered_with_its_rows_and_its_version():
    async with plane() as subject:
        response = await subject.infer(request(1, 2, model_version="canary", id="mine", outputs=("total",)))
    assert response.model_version == "v2"
    assert response.id == "mine"
    assert list(response.outputs) == ["total"]
    assert response.outputs["total"].tolist() == [3, 6]
    assert response.timings.batch_rows == 2


async def test_the_split_is_drawn_for_every_request():
    points = itertools.cycle([0.1, 0.9])
    async with plane(random_point=lambda: next(points)) as subject:
        versions = [(await subject.infer(request(1))).model_version for _ in range(4)]
    assert versions == ["v1", "v2", "v1", "v2"]


async def test_request_ids_are_kept_or_made_and_never_twice():
    async with plane() as subject:
        assert (await subject.infer(request(1, request_id="given"))).request_id == "given"
        made = {(await subject.infer(request(1))).request_id for _ in range(10)}
    assert len(made) == 10
    assert "" not in made


async def test_a_bad_request_never_reaches_a_release():
    model = Recording()
    async with plane(Executor("v1", model)) as subject:
        with pytest.raises(InvalidInput):
            await subject.infer(InferenceRequest("arithmetic", {"y": rows(1)}))
    assert model.batches == []


async def test_the_shortest_of_timeout_objective_and_limit_counts():
    model = Recording(held=True)
    slow = Executor("v1", model, slo_ms=10_000)
    limits = LimitsConfig(timeout_s=20)
    async with plane(slow, limits=limits) as subject:
        with pytest.raises(DeadlineExceeded, match=r"within 0\.02 s"):
            await subject.infer(request(1, timeout_s=0.02))
        with pytest.raises(InvalidInput, match=r"'timeout' is 0 microseconds, must be over 0"):
            await subject.infer(request(1, timeout_s=0.0))
        route = subject.directory.resolve("arithmetic", "v1", 0)
        assert subject._timeout_s(route, None) == 10
        assert subject._timeout_s(route, 15) == 10
        model.release()


async def test_a_late_answer_names_what_the_request_allows_and_not_what_the_loop_left_of_it():
    model = Recording(held=True)
    async with plane(Executor("v1", model)) as subject:
        subject._lag.stop()
        subject._lag.lag_s = 0.001
        with pytest.raises(DeadlineExceeded) as late:
            await subject.infer(request(1, timeout_s=0.02))
        model.release()
    assert late.value.timeout_s == 0.02


async def test_a_second_try_is_late_by_the_time_that_the_first_version_allows():
    model = Recording(held=True)
    async with plane(Executor("v1", slo_ms=20), Executor("v2", model)) as subject:
        first, other = (subject.directory.resolve("arithmetic", version, 0) for version in ("v1", "v2"))
        with pytest.raises(DeadlineExceeded, match=r"^arithmetic-v2 could not answer within 0\.02 s$"):
            await subject._execute(Attempt(other, first), request(1), time.perf_counter() + 0.005)
        model.release()


@pytest.mark.parametrize(("name", "is_limit"), [("arithmetic-v1", True), ("node", False)])
async def test_the_limit_of_a_graphs_node_is_named_as_it_is(name, is_limit):
    def too_slow(inputs):
        raise DeadlineExceeded(name, 0.004, is_limit)

    async with plane(Executor("v1", too_slow)) as subject:
        with pytest.raises(DeadlineExceeded, match=rf"^{name} could not answer within 0\.004 s$"):
            await subject.infer(request(1, timeout_s=0.5))


async def test_every_request_is_counted_once_and_unknown_names_are_bounded():
    metrics = Metrics()
    async with plane(metrics=metrics) as subject:
        await subject.infer(request(1, model_version="v1"))
        for name in ("a", "b"):
            with pytest.raises(ModelNotFound):
                await subject.infer(InferenceRequest(name, {"x": rows(1)}))
    assert metrics == [
        *((metric.name, ("arithmetic", "v1")) for metric in (REQUESTS, LATENCY, QUEUE)),
        *[(REQUESTS.name, ("unknown", "unknown")), (ERRORS.name, ("unknown", "unknown", "ModelNotFound"))] * 2,
    ]


async def test_one_line_a_request_without_payload(caplog):
    caplog.set_level("INFO", "serve_app.request")
    async with plane() as subject:
        await subject.infer(request(12345, model_version="v1", request_id="r1"))
        with pytest.raises(InvalidInput):
            await subject.infer(InferenceRequest("arithmetic", {"y": rows(1)}, request_id="r2"))
    (record,) = [record for record in caplog.records if record.name == "serve_app.request"]
    lines = [json.loads(line) for line in record.message.splitlines()]
    assert [(line["request_id"], line["outcome"], line["rows"]) for line in lines] == [
        ("r1", "ok", 1),
        ("r2", "InvalidInput", 1),
    ]
    assert "12345" not in caplog.text


async def test_a_client_that_leaves_is_accounted_for_and_its_rows_are_not_executed():
    model, metrics = Recording(held=True), Metrics()
    async with plane(Executor("v1", model), metrics=metrics) as subject:
        coalescer = subject.directory.resolve("arithmetic", "", 0).coalescer
        coalescer.slots, coalescer.bounds = 1, Bounds()
        first = asyncio.create_task(subject.infer(request(1)))
        await until(model.started.is_set)
        leaving = asyncio.create_task(subject.infer(request(2)))
        await until(lambda: coalescer.queued_rows == 1)
        leaving.cancel()
        await asyncio.wait([leaving])
        model.release()
        await first
    assert model.batches == [[1]]
    assert (ERRORS.name, ("arithmetic", "v1", "ClientLeft")) in metrics


async def test_the_signature_is_that_of_the_version_asked_for():
    async with plane(Executor("v1", max_rows=3), Executor("v2", max_rows=5)) as subject:
        assert subject.signature("arithmetic", "canary").max_rows == 5
        assert subject.signature("arithmetic").max_rows == 3


class Dying(Executor):
    """A release whose replica dies with its first blocks."""

    def __init__(self, version: str, deaths: int) -> None:
        super().__init__(version)
        self.deaths, self.blocks = deaths, 0

    async def infer(self, block):
        self.blocks += 1
        if self.blocks <= self.deaths:
            raise ReplicaLost(self.info.release)
        return await super().infer(block)


async def test_a_request_whose_replica_died_goes_to_another_version():
    async with plane(Dying("v1", 1), Executor("v2"), random_point=lambda: 0.1) as subject:
        response = await subject.infer(request(5))
    assert response.model_version == "v2"
    assert response.outputs["total"].tolist() == [15]


async def test_with_a_version_asked_for_it_waits_for_that_one_to_come_back():
    async with plane(Dying("v1", 1), Executor("v2")) as subject:
        response = await subject.infer(request(5, model_version="v1"))
    assert response.model_version == "v1"


async def test_a_second_death_is_told():
    async with plane(Dying("v1", 2), random_point=lambda: 0.1) as subject:
        with pytest.raises(ReplicaLost, match="a replica of arithmetic-v1 died"):
            await subject.infer(request(5, model_version="v1"))


async def test_waiting_for_a_replica_to_come_back_ends_at_the_deadline():
    dying = Dying("v1", 99)
    async with plane(dying) as subject:
        statuses = LocalCluster().statuses
        subject.directory._connections._cluster.statuses = statuses
        with pytest.raises(ReplicaLost):
            await subject.infer(request(5, timeout_s=0.05))
    assert dying.blocks == 1


async def test_a_wrong_table_is_refused_and_the_old_one_stays(caplog):
    async with plane() as subject:
        subject.configure({"models": {"arithmetic": {"traffic": {"v1": 50}}}, "default": "x"})
        assert subject.table_fault == (
            "the traffic table is not taken into use: "
            "models.arithmetic.traffic: Value error, traffic weights sum up to 50, not to 100; "
            "default: Extra inputs are not permitted"
        )
        assert subject.table_fault in caplog.text
        assert (await subject.infer(request(1, model_version="v2"))).model_version == "v2"
        subject.configure({"models": {"arithmetic": {"traffic": {"v1": 100}}}})
        assert subject.table_fault == ""


async def test_a_first_table_that_is_wrong_is_an_error():
    subject = DataPlane(LocalCluster(), LimitsConfig(), RequestLog(NoMetrics()))
    with pytest.raises(InvalidTable, match="models: Field required"):
        subject.configure({})


COUNT = table(count={"traffic": {"v1": 100}})


def count(upto: int, **more) -> InferenceRequest:
    return InferenceRequest("count", {"upto": np.array([upto])}, **more)


async def numbers(responses) -> list[int]:
    return [int(response.outputs["number"][0]) async for response in responses]


async def test_a_model_of_one_response_streams_that_one():
    async with plane(random_point=lambda: 0.1) as subject:
        (response,) = [response async for response in subject.stream(request(1, 2))]
        with pytest.raises(ModelNotFound):
            await anext(subject.stream(InferenceRequest("other", {})))
    assert response.outputs["total"].tolist() == [3, 6]


async def test_a_decoupled_model_is_not_asked_for_one_answer():
    async with plane_of(LocalCluster(server_of(Counting())), COUNT) as subject:
        with pytest.raises(NotSupported, match="'count' has any number of responses"):
            await subject.infer(count(1))


async def test_an_explanation_without_permission_is_refused_and_accounted_for(caplog):
    caplog.set_level("INFO", "serve_app.request")
    async with plane() as subject:
        with pytest.raises(Forbidden, match=r"explain is not allowed here.*args\.explain"):
            await subject.infer(request(1, explain=True))
    assert [json.loads(record.message)["outcome"] for record in caplog.records] == ["Forbidden"]


async def test_who_asks_is_told_what_was_done():
    async with plane(explains=True) as subject:
        told, other = await asyncio.gather(
            subject.infer(request(1, explain=True, model_version="v2")), subject.infer(request(2, model_version="v2"))
        )
    (visit,) = told.visits
    assert (visit.node, visit.version, visit.rows, visit.batch_rows, other.visits) == ("arithmetic", "v2", 1, 2, ())


async def test_a_model_of_many_responses_is_not_explained():
    async with plane_of(LocalCluster(server_of(Counting())), COUNT, explains=True) as subject:
        with pytest.raises(NotSupported, match="'count' has any number of responses, which are not explained"):
            await numbers(subject.stream(count(3, explain=True)))
    async with plane_of(LocalCluster(server_of(Counting())), COUNT) as subject:
        with pytest.raises(Forbidden):
            await numbers(subject.stream(count(3, explain=True)))
