"""Real models, trained on real data, answering over real HTTP and from another Ray job."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import tritonclient.http
import yaml
from support.bad_requests import BAD_REQUESTS
from support.niceness import may_rise
from support.server import outputs_of, v2_body, wait_for

from deployments.starting import LEADING, SERVING
from serve_app.config.release import ReleaseArgs
from serve_app.data_plane.files import DIRECTORY, PREFIX
from serve_app.dataflow.model import load_model
from serve_app.samples.data import held_out

TAGS = ("v1", "v2")
SOCKETS = DIRECTORY / PREFIX


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    return held_out("digits")


@pytest.fixture
def http(server):
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


def replica(name: str) -> int:
    """The process of the only replica of an application's deployment."""
    titles = {process.pid: " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])}
    (pid,) = (pid for pid, title in titles.items() if f"ServeReplica:{name}" in title)
    return pid


def infer(http: httpx.Client, model: str, body: bytes, version: str = "") -> httpx.Response:
    path = f"/v2/models/{model}/versions/{version}/infer" if version else f"/v2/models/{model}/infer"
    return http.post(path, content=body)


def manifest(server, model: str, version: str) -> dict[str, Any]:
    return yaml.safe_load((server.root / "models" / model / version / "model.yaml").read_text())


def test_a_held_out_digit_gets_its_label(http, digits):
    pixels, labels = digits
    row, label = pixels[:1], int(labels[0])
    assert outputs_of(infer(http, "digits", v2_body("pixels", row)).json())["label"] == [label]
    assert http.post("/predict", json={"input": row.tolist()}).json() == {"prediction": [label]}
    assert http.post("/predict", json={"input": row[0].tolist()}).json() == {"prediction": [label]}


@pytest.mark.parametrize(("model", "version"), [("digits", "v1"), ("digits", "v2"), ("wine", "v1")])
def test_accuracy_over_http_is_the_manifests(server, http, model, version):
    inputs, labels = held_out(model)
    declared = manifest(server, model, version)
    answered: list[int] = []
    for at in range(0, len(inputs), 50):
        response = infer(http, model, v2_body(declared["inputs"][0]["name"], inputs[at : at + 50]), version)
        assert response.headers["x-model-version"] == version
        answered += outputs_of(response.json())["label"]
    accuracy = float(np.mean(np.array(answered) == labels))
    assert accuracy == pytest.approx(declared["metrics"]["accuracy"], abs=1e-4)


def test_the_split_is_within_three_standard_deviations(http, digits):
    body = v2_body("pixels", digits[0][:1])
    versions = [infer(http, "digits", body).headers["x-model-version"] for _ in range(1000)]
    deviation = (1000 * 0.9 * 0.1) ** 0.5
    assert abs(versions.count("v1") - 900) <= 3 * deviation
    assert versions.count("v1") + versions.count("v2") == 1000


async def test_five_hundred_callers_get_exactly_their_own(server, digits):
    pixels, _ = digits
    generator = np.random.default_rng(7)
    rows = [pixels[generator.integers(0, len(pixels), 1 + i % 7)] + np.float32(i % 5) / 10 for i in range(500)]
    limits = httpx.Limits(max_connections=500, max_keepalive_connections=500)
    async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client:
        answers = await asyncio.gather(
            *(
                client.post(f"/v2/models/digits/versions/{TAGS[i % 2]}/infer", content=v2_body("pixels", x, id=str(i)))
                for i, x in enumerate(rows)
            )
        )
    bare = [
        load_model(ReleaseArgs(model="digits", version=tag, source=str(server.root / "models/digits" / tag)))
        for tag in TAGS
    ]
    for index, (x, response) in enumerate(zip(rows, answers, strict=True)):
        assert response.status_code == 200, response.text
        answer = response.json()
        assert answer["id"] == str(index)
        expected = bare[index % 2].predict({"pixels": x})
        found = outputs_of(answer)
        assert found["label"] == expected["label"].tolist()
        np.testing.assert_allclose(
            np.reshape(found["probabilities"], (len(x), 10)), expected["probabilities"], rtol=1e-5, atol=1e-6
        )


def test_answers_name_version_request_and_where_the_time_went(http, digits):
    response = http.post(
        "/v2/models/digits/labels/canary/infer",
        content=v2_body("pixels", digits[0][:1]),
        headers={"x-request-id": "mine-1"},
    )
    assert response.headers["x-model-version"] == "v2"
    assert response.headers.get_list("x-request-id") == ["mine-1"]
    stages = [stage.split(";")[0] for stage in response.headers["server-timing"].split(", ")]
    assert stages == ["gateway", "queue", "batch", "compute"]


def test_the_proxy_has_the_gateway_called_and_not_serve_around_it(http, digits):
    """Serve would answer this with a 408 of its own, in plain text."""
    hasty = {"x-request-timeout-seconds": "0.000001", "x-request-id": "mine-2"}
    response = http.post("/v2/models/digits/infer", content=v2_body("pixels", digits[0][:1]), headers=hasty)
    assert response.status_code in (429, 504)
    assert "digits-v" in response.json()["error"]
    assert response.headers.get_list("x-request-id") == ["mine-2"]


def test_metadata_says_where_a_version_runs(http):
    metadata = http.get("/v2/models/digits/versions/v1").json()
    assert metadata["versions"] == ["v1", "v2"]
    assert metadata["inputs"] == [{"name": "pixels", "datatype": "FP32", "shape": [-1, 64]}]
    assert metadata["parameters"]["device"] in ("cpu", "cuda:0")


@pytest.mark.parametrize("bad", BAD_REQUESTS, ids=lambda bad: bad.name)
def test_a_bad_request_is_refused_fast(http, bad):
    def attempt() -> tuple[httpx.Response, float]:
        started = time.perf_counter()
        response = http.request(bad.method, bad.path, content=bad.body, headers=bad.headers)
        return response, time.perf_counter() - started

    tries = [attempt() for _ in range(3)]
    for response, _ in tries:
        assert response.status_code == bad.status, response.text
        assert bad.says in response.json()["error"]
    assert min(seconds for _, seconds in tries) < 0.1  # the best of three, because the machine is shared


def test_the_server_is_healthy_after_all_that(http, digits):
    assert http.get("/v2/health/ready").status_code == 200
    assert infer(http, "digits", v2_body("pixels", digits[0][:4])).status_code == 200


def test_big_requests_travel_too(http, digits):
    one = outputs_of(infer(http, "digits", v2_body("pixels", digits[0][:64]), "v1").json())["label"]
    rows = np.tile(digits[0][:64], (60, 1)).astype(int)  # 1 MB of arrays: by reference, in 60 batches
    tensor = {"name": "pixels", "datatype": "FP32", "shape": list(rows.shape), "data": rows.ravel().tolist()}
    body = json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode()
    assert outputs_of(infer(http, "digits", body, "v1").json())["label"] == one * 60


def test_tritonclient_is_served(server, digits):
    pixels, labels = digits
    client = tritonclient.http.InferenceServerClient(server.url.removeprefix("http://"))
    try:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("digits")
        assert client.get_model_metadata("digits", "v2")["platform"] == "torch_export"
        tensor = tritonclient.http.InferInput("pixels", [3, 64], "FP32")
        tensor.set_data_from_numpy(pixels[:3], binary_data=False)
        wanted = [tritonclient.http.InferRequestedOutput("label", binary_data=False)]
        result = client.infer("digits", [tensor], outputs=wanted, model_version="v1", request_id="7")
        assert result.as_numpy("label").tolist() == labels[:3].tolist()
        assert result.get_response()["id"] == "7"
        best = [tritonclient.http.InferRequestedOutput("probabilities", class_count=1)]
        before = client.get_inference_statistics("digits", "v1")["model_stats"][0]
        classes = client.infer("digits", [tensor], outputs=best, model_version="v1").as_numpy("probabilities")
        assert [int(item.split(b":")[1]) for item in classes.ravel()] == labels[:3].tolist()
        after = client.get_inference_statistics("digits", "v1")["model_stats"][0]
        assert after["inference_count"] == before["inference_count"] + 3
        assert after["inference_stats"]["success"]["count"] == before["inference_stats"]["success"]["count"] + 1
        assert client.get_model_config("digits", "v1")["input"][0]["dims"] == [64]
        states = {(model["name"], model["version"]): model["state"] for model in client.get_model_repository_index()}
        assert states[("wine", "v1")] == "READY"
    finally:
        client.close()


JOB = """
import asyncio, json, sys
import numpy as np, ray
from deployments.client import connect
from serve_app.errors import InvalidInput, VersionNotFound
from serve_app.samples.data import held_out

ray.init(address="auto", logging_level="ERROR", log_to_driver=False)
pixels, labels = held_out("digits")
digits = connect("digits")
sync = digits.infer_sync(pixels=pixels[:5])

async def main():
    return await asyncio.gather(*(connect("digits", label="canary").infer(pixels=pixels[i:i+2]) for i in range(8)))

answers = asyncio.run(main())
explained = asyncio.run(digits.explain(pixels=pixels[:3]))
errors = []
for client, sent in ((digits, pixels[:1].astype("float64")), (connect("digits", "v9"), pixels[:1])):
    try:
        client.infer_sync(pixels=sent)
    except (InvalidInput, VersionNotFound) as error:
        errors.append(str(error))
print(json.dumps({
    "sync": sync["label"].tolist(), "right": labels[:5].tolist(), "dtype": str(sync["probabilities"].dtype),
    "async": [answer["label"].tolist() for answer in answers], "expected": [labels[i:i+2].tolist() for i in range(8)],
    "errors": errors, "explained": [(visit.node, visit.version, visit.rows) for visit in explained.visits],
}))
"""


def test_another_ray_job_calls_models_by_handle(server, tmp_path):
    script = tmp_path / "job.py"
    script.write_text(JOB)
    said = json.loads(server.run(sys.executable, script).splitlines()[-1])
    assert said["sync"] == said["right"]
    assert said["dtype"] == "float32"
    assert said["async"] == said["expected"]
    assert said["explained"] in ([["digits", "v1", 3]], [["digits", "v2", 3]])
    assert said["errors"][0] == "input 'pixels' has datatype FP64, FP32 is expected"
    assert "has no version or label 'v9'" in said["errors"][1]


def test_the_gateway_calls_releases_of_its_machine_over_their_sockets(http, digits):
    infer(http, "digits", v2_body("pixels", digits[0][:1]), "v1")
    pid = replica("digits-v1:digits")
    ends = [end for end in psutil.net_connections("unix") if str(end.laddr).startswith(f"{SOCKETS}{pid}-")]
    assert len(ends) >= 2, "beside the socket that listens, there is a gateway's connection"


def test_the_event_loop_of_the_gateway_goes_before_its_other_threads_where_it_may():
    gateway = psutil.Process(replica("gateway:Gateway"))

    def levels() -> Counter[int]:
        found = Counter[int]()
        for thread in gateway.threads():
            with suppress(ProcessLookupError):  # it has just ended
                found[os.getpriority(os.PRIO_PROCESS, thread.id)] += 1
        return found

    def are_right() -> bool:
        found = levels()
        first = min(found)
        leads = found[first] == 1 and set(found) == {first, first - LEADING + SERVING}
        return leads if may_rise(-LEADING) else len(found) == 1

    assert wait_for("the gateway's next health check", are_right, 30), levels()


def test_metrics_show_the_whole_cluster(http, digits):
    infer(http, "digits", v2_body("pixels", digits[0][:3]), "v1")

    def shown() -> bool:
        text = http.get("/metrics").text
        families = (
            "requests_total",
            "errors_total",
            "request_latency_ms_bucket",
            "queue_time_ms_sum",
            "batch_rows_count",
        )
        return all(f"ray_serve_app_{family}" in text for family in families) and 'version="v2"' in text

    assert wait_for("the metrics' export", shown, 60)


def test_one_structured_line_a_request_and_no_payload(server, http, digits):
    infer(http, "digits", v2_body("pixels", digits[0][:3] + np.float32(0.12345)), "v1")
    http.post("/predict", content=b"{}", headers={"x-request-id": "find-me-1"})
    replica_logs = server.session_logs("requests_*.jsonl")

    def lines() -> list[dict[str, Any]]:
        text = "".join(path.read_text() for path in replica_logs)
        assert "0.12345" not in text
        return [json.loads(line) for line in text.splitlines()]

    refused = wait_for("the line", lambda: [line for line in lines() if line["request_id"] == "find-me-1"], 30)
    assert [line["outcome"] for line in refused] == ["MalformedBody"]
    answered = wait_for("the log line", lambda: [line for line in lines() if line["outcome"] == "ok"], 30)
    assert {"request_id", "model", "version", "rows", "ms", "queue_ms", "compute_ms", "batch_rows"} <= set(answered[-1])
