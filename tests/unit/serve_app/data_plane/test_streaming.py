"""Streams of decoupled models: accounted for once, bounded in time, begun again only if nothing was told."""

from __future__ import annotations

import json
from contextlib import aclosing

import numpy as np
import pytest
from support.decoupled import Counting, server_of
from support.gateway import plane_of, table
from support.waiting import until

from serve_app.config.gateway import LimitsConfig
from serve_app.data_plane.local import LocalCluster
from serve_app.errors import DeadlineExceeded, ModelRaised, ReplicaLost
from serve_app.observability.metrics import REQUESTS
from serve_app.types import InferenceRequest


class Metrics(list):
    def add(self, metric, value, *labels):
        self.append((metric.name, labels))


COUNT = table(count={"traffic": {"v1": 100}})


def count(upto: int, **more) -> InferenceRequest:
    return InferenceRequest("count", {"upto": np.array([upto])}, **more)


async def numbers(responses) -> list[int]:
    return [int(response.outputs["number"][0]) async for response in responses]


async def test_a_stream_is_one_line_in_the_log_with_all_its_time(caplog):
    caplog.set_level("INFO", "serve_app.request")
    metrics = Metrics()
    async with plane_of(LocalCluster(server_of(Counting())), COUNT, metrics=metrics) as subject:
        assert await numbers(subject.stream(count(3, request_id="r1"))) == [1, 2, 3]
        with pytest.raises(ModelRaised):
            await numbers(subject.stream(count(20)))
        async with aclosing(subject.stream(count(10**9))) as responses:
            await anext(responses)
    lines = [json.loads(line) for record in caplog.records for line in record.message.splitlines() if line[:1] == "{"]
    assert [line["outcome"] for line in lines] == ["ok", "ModelRaised", "ClientLeft"]
    assert (lines[0]["request_id"], lines[0]["version"], lines[0]["rows"]) == ("r1", "v1", 1)
    assert metrics.count((REQUESTS.name, ("count", "v1"))) == 3


async def test_a_response_that_takes_too_long_is_told_and_the_model_stopped():
    model = Counting(held=True)
    limits = LimitsConfig(timeout_s=0.5)
    async with plane_of(LocalCluster(server_of(model)), COUNT, limits) as subject:
        responses = subject.stream(count(9))
        assert (await anext(responses)).outputs["number"].tolist() == [1]
        with pytest.raises(DeadlineExceeded, match=r"count-v1 could not answer within 0.5 s"):
            await anext(responses)
        model.go.set()
        await until(model.closed.is_set)


class DyingStream:
    """A decoupled release whose replica dies once, behind so many responses."""

    def __init__(self, behind: int) -> None:
        self.release, self._behind, self.calls = server_of(Counting()), behind, 0
        self.info = self.release.info

    async def stream(self, block):
        self.calls += 1
        given = 0
        async for reply in self.release.stream(block):
            if self.calls == 1 and given == self._behind:
                raise ReplicaLost(self.info.release)
            given += 1
            yield reply


async def test_a_stream_whose_replica_dies_begins_again_only_if_nothing_was_told():
    async with plane_of(LocalCluster(DyingStream(behind=0)), COUNT) as subject:
        assert await numbers(subject.stream(count(2))) == [1, 2]
    async with plane_of(LocalCluster(DyingStream(behind=1)), COUNT) as subject:
        responses = subject.stream(count(2))
        await anext(responses)
        with pytest.raises(ReplicaLost):
            await anext(responses)
