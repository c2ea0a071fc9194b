"""The hot routes."""

from __future__ import annotations

import gzip
import itertools
import json
import re
from dataclasses import replace
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from support.arithmetic import INFO, Executor, Recording, predict
from support.doors import express_of, uvicorn_of
from support.gateway import client_of, plane_of, table

from serve_app.config.gateway import LimitsConfig
from serve_app.config.rollout import StickyConfig
from serve_app.data_plane.local import LocalCluster
from serve_app.datatypes import Datatype
from serve_app.protocol.call import Call
from serve_app.transport import http as http_routes
from serve_app.transport.codecs import PREDICT, TENSORFLOW, TORCHSERVE
from serve_app.transport.http import (
    SHORT_PATH,
    WORTH_ASKING_BYTES,
    InferHandler,
    InferRoute,
    RequestHead,
    match_infer,
)
from serve_app.types import InferenceRequest, InferenceResponse, ReleaseInfo, TensorSpec

PADDING = b" " * WORTH_ASKING_BYTES
TRAFFIC = table("arithmetic", arithmetic={"traffic": {"v1": 100}, "labels": {"stable": "v1"}})
INFER = "/v2/models/arithmetic/infer"


def body(*values: float, **more) -> bytes:
    data = [[value] * 3 for value in values]
    tensor = {"name": "x", "datatype": "FP32", "shape": [len(values), 3], "data": data}
    return json.dumps({"inputs": [tensor], **more}).encode()


@pytest.fixture
async def client():
    async with plane_of(LocalCluster(Executor("v1")), TRAFFIC) as plane, client_of(plane) as http:
        yield http


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/predict", InferRoute("", codec=PREDICT)),
        ("/v1/models/m:predict", InferRoute("m", codec=TENSORFLOW["predict"])),
        ("/v1/models/m/versions/v1:classify", InferRoute("m", "v1", TENSORFLOW["classify"])),
        ("/v1/models/m/labels/stable:regress", InferRoute("m", "stable", TENSORFLOW["regress"])),
        ("/predictions/m", InferRoute("m", codec=TORCHSERVE["/predictions/"])),
        ("/predictions/m/v1", InferRoute("m", "v1", TORCHSERVE["/predictions/"])),
        ("/explanations/m", InferRoute("m", codec=TORCHSERVE["/explanations/"])),
        ("/v1/models/m", None),
        ("/v1/models/m:train", None),
        ("/v1/models/:predict", None),
        ("/v1/models/m/versions:predict", None),
        ("/predictions/", None),
        ("/predictions/m/", None),
        ("/predictions/m/v1/x", None),
        ("/v2/models/m/infer", InferRoute("m")),
        ("/v2/models/m/versions/v1/infer", InferRoute("m", "v1")),
        ("/v2/models/m/labels/stable/infer", InferRoute("m", "stable")),
        ("/v2/models/m", None),
        ("/v2/models/infer", None),
        ("/v2/models/m/versions//infer", None),
        ("/v2/models//infer", None),
        ("/v2/models//versions/v1/infer", None),
        ("/v2/models/m/other/v1/infer", None),
        ("/v2/models/m/versions/v1/x/infer", None),
        ("/predict/", None),
    ],
)
def test_routes(path, route):
    assert match_infer(path) == route


def test_the_routes_of_long_paths_are_not_remembered():
    match_infer("/predictions/short")
    before = http_routes._remembered.cache_info()
    for _ in range(2):
        assert match_infer("/predictions/short").model == "short"
        assert match_infer("/predictions/" + "a" * SHORT_PATH).model == "a" * SHORT_PATH
    after = http_routes._remembered.cache_info()
    assert (after.hits, after.currsize) == (before.hits + 2, before.currsize)


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"never decoded" + PADDING, 429), (b'"priority"' + PADDING, 400), (b"short", 400)],
    ids=["what cannot be in time is not decoded", "what may go before others is", "what is short is"],
)
async def test_refused_before_it_is_decoded(sent, status):
    async with plane_of(LocalCluster(Executor("v1")), TRAFFIC) as plane, client_of(plane) as http:
        plane.directory.route("arithmetic", "v1").coalescer.forecast_s = lambda rows, priority: 0.06
        answer = await http.post(INFER, content=sent, headers={"x-request-timeout-seconds": "0.05"})
    assert answer.status_code == status
    assert ("work ahead for about 60 ms" in answer.json()["error"]) == (status == 429)


async def test_turned_away_before_it_is_read():
    reads = []

    async def content():
        reads.append(1)
        yield body(1)

    async with plane_of(LocalCluster(Executor("v1")), TRAFFIC) as plane, client_of(plane) as http:
        plane._lag.stop()
        plane._lag.lag_s = 0.03
        refused = [
            await http.post(path, content=content(), headers={"x-request-timeout-seconds": "0.05"})
            for path in (INFER, "/predict")
        ]
        wrong = [
            await http.post("/v2/models/nobody/infer", content=body(1)),
            await http.post(INFER, content=body(1), headers={"x-request-timeout-seconds": "soon"}),
        ]
        patient = await http.post(INFER, content=body(1))
    assert [answer.status_code for answer in refused] == [429, 429]
    assert "work ahead for about 240 ms, the request allows 50 ms" in refused[0].json()["error"]
    assert refused[0].headers["retry-after"] == "1"
    assert refused[0].headers["x-request-id"]
    assert not reads
    assert [answer.status_code for answer in wrong] == [404, 400]
    assert patient.status_code == 200


@pytest.mark.parametrize(
    "path", [INFER, "/v2/models/arithmetic/versions/v1/infer", "/v2/models/arithmetic/labels/stable/infer"]
)
async def test_v2_infer(client, path):
    response = await client.post(path, content=body(1, 2, id="mine"))
    assert response.status_code == 200
    answer = response.json()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("arithmetic", "v1", "mine")
    assert {output["name"]: output["data"] for output in answer["outputs"]} == {
        "y": [3, 3, 3, 5, 5, 5],
        "total": [3, 6],
    }


async def test_predict(client):
    response = await client.post("/predict", content=b'{"input": [[1, 1, 1], [2, 2, 2]]}')
    assert response.json() == {"prediction": [3, 6]}


async def test_answers_say_who_answered_and_where_the_time_went(client):
    response = await client.post(INFER, content=body(1), headers={"x-request-id": "abc"})
    assert response.headers["x-request-id"] == "abc"
    assert response.headers["x-model-version"] == "v1"
    stages = re.findall(r"(\w+);dur=\d+\.\d{3}", response.headers["server-timing"])
    assert stages == ["gateway", "queue", "batch", "compute"]


class Incomplete(Executor):
    """Answers without one member of an ensemble."""

    async def infer(self, *blocks):
        replies = await super().infer(*blocks)
        left_out = {"e.big": "m-v1 failed: it is broken", "e.c": "gone"}
        return tuple(
            replace(reply, results=tuple(replace(result, left_out=left_out) for result in reply.results))
            for reply in replies
        )


BODIES = {
    INFER: body(1),
    "/predict": b'{"input": [[1, 1, 1]]}',
    "/v1/models/arithmetic:predict": b'{"instances": [[1, 1, 1]]}',
}


@pytest.mark.parametrize(("path", "content"), BODIES.items(), ids=BODIES)
async def test_every_protocol_says_what_was_left_out(client, path, content):
    async with plane_of(LocalCluster(Incomplete("v1")), TRAFFIC) as plane, client_of(plane) as http:
        response = await http.post(path, content=content)
    assert (response.status_code, response.headers["x-left-out"]) == (200, "e.big, e.c")
    assert ("left_out" in response.json().get("parameters", {})) == (path == INFER)
    assert "x-left-out" not in (await client.post(path, content=content)).headers


@pytest.mark.parametrize("given", ["", "x" * 129, "with space", "new\tline"])
async def test_a_request_id_that_cannot_be_logged_is_replaced(client, given):
    response = await client.post(INFER, content=body(1), headers={"x-request-id": given})
    assert response.status_code == 200
    assert response.headers["x-request-id"] not in ("", given)


async def test_refusals_for_want_of_capacity_say_when_to_retry():
    async with plane_of(LocalCluster(), TRAFFIC) as plane, client_of(plane) as http:
        response = await http.post(INFER, content=body(1))
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json() == {
        "error": "arithmetic is not ready: v1: no application of that name is deployed",
    }


async def test_a_deadline_that_passes_is_504():
    model = Recording(held=True)
    async with plane_of(LocalCluster(Executor("v1", model)), TRAFFIC) as plane, client_of(plane) as http:
        response = await http.post(INFER, content=body(1, parameters={"timeout": 20000}))
        model.release()
    assert response.status_code == 504
    assert response.json()["error"] == "arithmetic-v1 could not answer within 0.02 s"


@pytest.mark.parametrize(("path", "content"), [(INFER, body(1)), ("/predict", b'{"input": [[1, 1, 1]]}')])
async def test_the_headers_timeout_is_a_deadline_too(path, content):
    model = Recording(held=True)
    async with plane_of(LocalCluster(Executor("v1", model)), TRAFFIC) as plane, client_of(plane) as http:
        response = await http.post(path, content=content, headers={"x-request-timeout-seconds": "0.02"})
        model.release()
    assert response.status_code == 504
    assert response.json()["error"] == "arithmetic-v1 could not answer within 0.02 s"


class Plane:
    """A data plane that remembers requests and answers with the model's outputs."""

    def __init__(self) -> None:
        self.requests, self.limits = [], LimitsConfig()
        self.directory = SimpleNamespace(
            default_model="arithmetic", models=("arithmetic",), sticky={"arithmetic": StickyConfig(header="x-user")}.get
        )

    def request_id(self, given: str) -> str:
        return given

    def refuse_hopeless(self, call: Call) -> None:
        """None is."""

    def signature(self, model: str, version: str = "") -> ReleaseInfo:
        return INFO

    async def infer(self, request: InferenceRequest) -> InferenceResponse:
        self.requests.append(request)
        outputs = predict(request.inputs)
        names = request.outputs or tuple(outputs)
        return InferenceResponse("arithmetic", "v1", {name: outputs[name] for name in names}, "total", request.id)


async def test_what_the_head_says_reaches_the_data_plane():
    plane, head = Plane(), RequestHead("r1", "0.5", "team a", lookup={"x-user": "ann"}.get)
    infer = InferHandler(plane)
    parameters = {"priority": 2, "timeout": 700_000}
    await infer(InferRoute("arithmetic", "v1"), head, body(1, parameters=parameters))
    await infer(InferRoute("", codec=PREDICT), head, b'{"input": [1, 1, 1]}')
    await infer(InferRoute("arithmetic", "v1"), head._replace(json_length="0"), bytes(12))
    await infer(InferRoute("arithmetic"), RequestHead(), body(1))
    assert [(r.request_id, r.model_version, r.timeout_s, r.priority, r.tenant, r.user) for r in plane.requests] == [
        ("r1", "v1", 0.5, 2, "team a", "ann"),
        ("r1", "", 0.5, 5, "team a", "ann"),
        ("r1", "v1", 0.5, 5, "team a", "ann"),
        ("", "", None, 5, "", ""),
    ]


ONE_ROW = np.array([[1, 2, 3]], "<f4").tobytes()
BINARY_Y = {"name": "y", "datatype": "FP32", "shape": [1, 3], "parameters": {"binary_data_size": 12}}


def mixed(**more) -> tuple[bytes, dict[str, str]]:
    """A V2 request of one binary row, and its headers."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 3], "parameters": {"binary_data_size": 12}}
    document = json.dumps({"inputs": [tensor], **more}).encode()
    return document + ONE_ROW, {"inference-header-content-length": str(len(document))}


async def test_binary_inputs_and_json_outputs(client):
    content, headers = mixed()
    response = await client.post(INFER, content=content, headers=headers)
    assert response.headers["content-type"] == "application/json"
    assert "inference-header-content-length" not in response.headers
    assert [output["data"] for output in response.json()["outputs"]] == [[3, 5, 7], [6]]


async def test_binary_and_json_outputs_mix(client):
    content, headers = mixed(outputs=[{"name": "total"}, {"name": "y", "parameters": {"binary_data": True}}])
    response = await client.post(INFER, content=content, headers=headers)
    assert response.headers["content-type"] == "application/octet-stream"
    length = int(response.headers["inference-header-content-length"])
    total = {"name": "total", "datatype": "INT64", "shape": [1], "data": [6]}
    assert json.loads(response.content[:length])["outputs"] == [total, BINARY_Y]
    assert np.frombuffer(response.content[length:], "<f4").tolist() == [3, 5, 7]


async def test_json_inputs_and_binary_outputs(client):
    response = await client.post(INFER, content=body(1, parameters={"binary_data_output": True}))
    length = int(response.headers["inference-header-content-length"])
    assert response.content[length:] == np.full(3, 3, "<f4").tobytes() + np.array([3], "<i8").tobytes()


async def test_a_raw_body_gets_binary_outputs_as_from_triton(client):
    response = await client.post(INFER, content=ONE_ROW * 2, headers={"inference-header-content-length": "0"})
    length = int(response.headers["inference-header-content-length"])
    y, total = json.loads(response.content[:length])["outputs"]
    assert (y["shape"], total["shape"]) == ([2, 3], [2])
    assert np.frombuffer(response.content[length:], "<f4", 6).tolist() == [3, 5, 7] * 2
    assert np.frombuffer(response.content[length + 24 :], "<i8").tolist() == [6, 6]


async def test_a_half_float_output_in_json_is_refused_with_a_sentence():
    outputs = (TensorSpec("h", Datatype.FP16, (-1, 3)),)
    executor = Executor("v1", lambda inputs: {"h": inputs["x"].astype(np.float16)}, outputs=outputs, prediction="h")
    async with plane_of(LocalCluster(executor), TRAFFIC) as plane, client_of(plane) as http:
        refused = await http.post(INFER, content=body(1))
        binary = await http.post(INFER, content=body(1, parameters={"binary_data_output": True}))
    assert refused.status_code == 400
    assert refused.json() == {"error": "output 'h' is FP16, which JSON cannot carry; ask for binary data"}
    assert binary.content.endswith(np.ones(3, np.float16).tobytes())


async def test_a_model_that_raises_is_500_without_its_details(caplog):
    def broken(inputs):
        raise ValueError("/secret/path")

    async with plane_of(LocalCluster(Executor("v1", broken)), TRAFFIC) as plane, client_of(plane) as http:
        response = await http.post(INFER, content=body(1))
    assert response.status_code == 500
    assert response.json() == {"error": "arithmetic-v1 failed: it raised ValueError"}
    assert "/secret/path" in caplog.text


async def test_a_fault_of_ours_is_500_with_the_id_that_is_in_the_log(caplog):
    async with plane_of(LocalCluster(Executor("v1")), TRAFFIC) as plane, client_of(plane) as http:
        plane.infer = None
        response = await http.post(INFER, content=body(1), headers={"x-request-id": "r7"})
    assert response.status_code == 500
    assert response.json()["error"] == "internal error; the server's log has it under request id r7"
    assert "internal error on request r7" in caplog.text


async def test_predict_without_a_default_model_is_404():
    traffic = table(arithmetic={"traffic": {"v1": 100}})
    async with plane_of(LocalCluster(Executor("v1")), traffic) as plane, client_of(plane) as http:
        response = await http.post("/predict", content=b'{"input": [[1, 1, 1]]}')
    assert response.status_code == 404


async def test_predict_gives_the_prediction_of_the_version_that_answered():
    cluster = LocalCluster(Executor("v1"), Executor("v2", prediction="y"))
    traffic = table("arithmetic", arithmetic={"traffic": {"v1": 50, "v2": 50}})
    points = itertools.cycle([0.1, 0.9])
    async with plane_of(cluster, traffic, random_point=lambda: next(points)) as plane, client_of(plane) as http:
        answers = [(await http.post("/predict", content=b'{"input": [1, 1, 1]}')).json() for _ in range(4)]
    assert answers == [{"prediction": [3]}, {"prediction": [[3, 3, 3]]}] * 2


async def test_requests_that_cannot_be_decoded_are_accounted_for_too(caplog):
    caplog.set_level("INFO", "serve_app.request")
    async with plane_of(LocalCluster(Executor("v1")), TRAFFIC) as plane, client_of(plane) as http:
        await http.post(INFER, content=b"{}", headers={"x-request-id": "r1"})
        await http.post("/v2/models/made-up/infer", content=b"{}", headers={"x-request-id": "r2"})
    records = [record.message for record in caplog.records if record.name == "serve_app.request"]
    lines = [json.loads(line) for message in records for line in message.splitlines()]
    assert [(line["request_id"], line["model"], line["outcome"]) for line in lines] == [
        ("r1", "arithmetic", "MalformedBody"),
        ("r2", "unknown", "ModelNotFound"),
    ]


async def test_json_over_its_limit_is_refused_and_binary_is_not():
    limits = LimitsConfig(max_json_bytes=200)
    document = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 1, 1]}]}'
    async with plane_of(LocalCluster(Executor()), table(arithmetic={"traffic": {"v1": 100}}), limits) as plane:
        handler, route = InferHandler(plane), InferRoute("arithmetic")
        assert (await handler(route, RequestHead(), document + b" " * 100)).status == 200
        refused = await handler(route, RequestHead(), document + b" " * 200)
        assert (refused.status, json.loads(refused.body)["error"]) == (
            413,
            f"the JSON in the body (large tensors travel as V2 binary data) has {len(document) + 200} bytes, "
            "the limit is 200",
        )
        assert (await handler(route, RequestHead(json_length="0"), bytes(12 * 20))).status == 200
        raw = InferRoute("arithmetic", codec=TORCHSERVE["/predictions/"])
        assert (await handler(raw, RequestHead(content_type="application/octet-stream"), bytes(12 * 20))).status == 200
        assert (await handler(raw, RequestHead(content_type="application/json"), b" " * 201)).status == 413


async def test_bodies_and_answers_are_compressed_as_the_client_says():
    values = ",".join(["1"] * 3000)
    document = f'{{"inputs": [{{"name": "x", "datatype": "FP32", "shape": [1000, 3], "data": [{values}]}}]}}'.encode()
    async with plane_of(LocalCluster(Executor()), table(arithmetic={"traffic": {"v1": 100}})) as plane:
        handler, route = InferHandler(plane), InferRoute("arithmetic")
        plain = await handler(route, RequestHead(), document)
        packed = await handler(route, RequestHead(coding="gzip", accept="gzip"), gzip.compress(document))
    assert "content-encoding" not in plain.headers
    assert (packed.headers["content-encoding"], packed.headers["vary"]) == ("gzip", "accept-encoding")
    assert json.loads(gzip.decompress(packed.body)) == json.loads(plain.body)


@pytest.mark.parametrize("rows", [2, 90_000], ids=["in the loop", "in threads"])
async def test_large_and_small_tensors_come_back_through_both_doors(rows):
    given = np.random.default_rng(0).integers(0, 100, (rows, 3)).astype("<f4")
    async with (
        plane_of(
            LocalCluster(Executor(max_queue_rows=2**17)),
            table(arithmetic={"traffic": {"v1": 100}}),
            LimitsConfig(max_request_rows=2**17),
        ) as plane,
        uvicorn_of(plane) as port,
        express_of(plane) as door,
        httpx.AsyncClient(timeout=60) as client,
    ):
        for number in (port, door.port):
            url = f"http://127.0.0.1:{number}{INFER}"
            answer = await client.post(url, content=given.tobytes(), headers={"inference-header-content-length": "0"})
            assert answer.status_code == 200, answer.text
            start = int(answer.headers["inference-header-content-length"])
            y = np.frombuffer(answer.content[start : start + given.nbytes], "<f4").reshape(rows, 3)
            np.testing.assert_array_equal(y, 2 * given + 1)
