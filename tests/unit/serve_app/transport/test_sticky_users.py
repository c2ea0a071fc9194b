"""Users stay at their version through every door, and a version that a request names wins."""

from __future__ import annotations

import httpx
import numpy as np
import pytest
from support.arithmetic import Executor, rows
from support.doors import express_of
from support.gateway import client_of, plane_of, table
from tritonclient.grpc import service_pb2 as pb

from serve_app.data_plane.local import LocalCluster
from serve_app.data_plane.rendezvous import pick
from serve_app.transport.grpc import GrpcHandler
from serve_app.transport.http import WORTH_ASKING_BYTES

INFER, GENERATE = "/v2/models/arithmetic/infer", "/v2/models/arithmetic/generate"
USERS = [f"user-{number}" for number in range(12)]
EXPECTED = [pick("arithmetic", user, {"v1": 50, "v2": 50}) for user in USERS]
SPLIT = {"traffic": {"v1": 50, "v2": 50}, "labels": {"canary": "v2"}}
GOOD = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 1, 1]}]}
ONE_ROW = np.ones((1, 3), "<f4").tobytes()


def plane(**sticky: str):
    traffic = table("arithmetic", arithmetic={**SPLIT, **({"sticky": sticky} if sticky else {})})
    return plane_of(LocalCluster(Executor("v1"), Executor("v2")), traffic, random_point=lambda: 0.1)


async def versions(client: httpx.AsyncClient, *headers: list[tuple[str, str]], path: str = INFER, **sent) -> list[str]:
    sent = sent or {"json": {"x": [1, 1, 1]} if path == GENERATE else GOOD}
    answers = [await client.post(path, headers=given, **sent) for given in headers]
    assert {answer.status_code for answer in answers} == {200}, answers[0].text
    return [answer.headers["x-model-version"] for answer in answers]


def test_both_versions_are_among_the_expected():
    assert set(EXPECTED) == {"v1", "v2"}


@pytest.mark.parametrize(
    ("sticky", "headers"),
    [
        ({"header": "X-User"}, lambda user: [("x-user", user), ("cookie", "x-user=other")]),
        ({"cookie": "sid"}, lambda user: [("cookie", f"a=b; sid={user}")]),
        ({"cookie": "sid"}, lambda user: [("cookie", "a=b"), ("cookie", f"sid={user}")]),
    ],
)
async def test_every_door_keeps_a_user_at_the_version_that_the_hash_says(sticky, headers):
    given = [headers(user) for user in USERS]
    async with plane(**sticky) as subject, express_of(subject) as door, client_of(subject) as asgi:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{door.port}") as rsgi:
            assert await versions(rsgi, *given) == EXPECTED
        assert await versions(asgi, *given) == EXPECTED
        assert await versions(asgi, *given, path=GENERATE) == EXPECTED
        assert await versions(asgi, *given, path="/predict", json={"input": [[1, 1, 1]]}) == EXPECTED
        assert await versions(asgi, *given, path="/v1/models/arithmetic:predict", json={"instances": [[1, 1, 1]]}) == (
            EXPECTED
        )
        assert await versions(asgi, *given, path="/predictions/arithmetic", json=[1, 1, 1]) == EXPECTED
        raw = [[*one, ("inference-header-content-length", "0")] for one in given]
        assert await versions(asgi, *raw, content=ONE_ROW) == EXPECTED
        assert [(await grpc_infer(subject, *one)).message.model_version for one in given] == EXPECTED


async def grpc_infer(subject, *metadata: tuple[str, str], version: str = ""):
    x = pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 3])
    message = pb.ModelInferRequest(
        model_name="arithmetic", model_version=version, inputs=[x], raw_input_contents=[ONE_ROW]
    )
    return await GrpcHandler(subject)("ModelInfer", message.SerializeToString(), metadata)


async def test_a_parameter_or_a_tensor_keeps_a_user():
    async with plane(parameter="who") as subject, client_of(subject) as client:
        told = [await versions(client, [], json={**GOOD, "parameters": {"who": user}}) for user in USERS]
    assert told == [[version] for version in EXPECTED]
    values = [0.5, 1.0, 7.0, 12.0, 40.0]
    async with plane(tensor="x") as subject, client_of(subject) as client:
        told = [
            (await versions(client, [("inference-header-content-length", "0")], content=rows(value).tobytes()))[0]
            for value in values
        ]
    assert told == [pick("arithmetic", repr(value), {"v1": 50, "v2": 50}) for value in values]


async def test_who_says_nothing_is_drawn():
    async with plane(header="x-user") as subject, client_of(subject) as client:
        assert await versions(client, [], [("x-user", "")], [("x-user", "\u00e9".encode())]) == ["v1"] * 3


NAMED = [("x-model-version", "canary")]


@pytest.mark.parametrize("path", [INFER, GENERATE])
async def test_a_version_in_a_header_wins_over_the_split_and_the_user(path):
    async with plane(header="x-user") as subject, client_of(subject) as client:
        assert await versions(client, *[[*NAMED, ("x-user", user)] for user in USERS], path=path) == ["v2"] * 12


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/predict", {"json": {"input": [[1, 1, 1]]}}),
        ("/v1/models/arithmetic:predict", {"json": {"instances": [[1, 1, 1]]}}),
        ("/predictions/arithmetic", {"json": [1, 1, 1]}),
    ],
)
async def test_it_does_in_every_protocol(path, sent):
    async with plane() as subject, client_of(subject) as client:
        assert await versions(client, NAMED, path=path, **sent) == ["v2"]


async def test_a_header_may_repeat_the_url_and_not_contradict_it():
    async with plane() as subject, client_of(subject) as client:
        path = "/v2/models/arithmetic/labels/canary/infer"
        assert await versions(client, NAMED, path=path) == ["v2"]
        refused = await client.post("/v2/models/arithmetic/versions/v1/infer", headers=NAMED, json=GOOD)
        unknown = await client.post(INFER, headers={"x-model-version": "v9"}, json=GOOD)
        over_grpc = await grpc_infer(subject, *NAMED, version="v1")
        by_grpc = await grpc_infer(subject, *NAMED)
    sentence = "header 'x-model-version' is 'canary', the request itself says 'v1'"
    assert (refused.status_code, refused.json()["error"]) == (400, sentence)
    assert (unknown.status_code, unknown.json()["error"]) == (
        404,
        "model 'arithmetic' has no version or label 'v9'; it has: v1, v2, canary",
    )
    assert over_grpc.details == sentence
    assert by_grpc.message.model_version == "v2"


async def test_only_what_is_ahead_at_the_users_own_version_counts_before_the_body_is_read():
    late = {"x-request-timeout-seconds": "0.5"}
    by_version = {version: user for user, version in zip(USERS, EXPECTED, strict=True)}
    async with plane(header="x-user") as subject, client_of(subject) as client:
        subject.directory.resolve("arithmetic", "v1", 0.0).coalescer.forecast_s = lambda rows, priority: 9.0  # seconds
        answered = await client.post(INFER, json=GOOD, headers={**late, "x-user": by_version["v2"]})
        refused = await client.post(
            INFER, content=b"no JSON" * WORTH_ASKING_BYTES, headers={**late, "x-user": by_version["v1"]}
        )
    assert (answered.status_code, answered.headers["x-model-version"]) == (200, "v2")
    assert (refused.status_code, "has work ahead" in refused.text) == (429, True)


async def test_nothing_counts_before_the_body_says_who_it_is():
    async with plane(parameter="who") as subject, client_of(subject) as client:
        subject.directory.resolve("arithmetic", "v1", 0.0).coalescer.forecast_s = lambda rows, priority: 9.0
        by_version = dict(zip(EXPECTED, USERS, strict=True))
        document = {**GOOD, "parameters": {"who": by_version["v2"]}}
        answer = await client.post(INFER, json=document, headers={"x-request-timeout-seconds": "0.5"})
    assert (answer.status_code, answer.headers["x-model-version"]) == (200, "v2")
