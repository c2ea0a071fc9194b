from __future__ import annotations

import json

import httpx
import numpy as np
import pytest

from load_tests.servers.answers import Offer, fault_in, fault_of
from load_tests.target import Target

LOGITS = np.arange(10, dtype=np.float32)


def v2(**outputs: list[float]) -> bytes:
    return json.dumps({"outputs": [{"name": name, "data": data} for name, data in outputs.items()]}).encode()


def response(body: bytes, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, content=body, headers={name.replace("_", "-"): v for name, v in headers.items()})


def test_a_label_is_found_among_other_outputs_and_in_a_list_of_one():
    seven = np.array(7)
    assert fault_in(response(v2(probabilities=[0.1], label=[7])), "digits", seven) == ""
    assert fault_in(response(b"[" + v2(label=[7]) + b"]"), "digits", seven) == ""
    assert fault_in(response(v2(label=[8])), "digits", seven) == "answered 8, not 7"


@pytest.mark.parametrize(
    "answer",
    [
        response(LOGITS.tobytes()),
        response(b"{}" + LOGITS.tobytes(), inference_header_content_length="2"),
        response(v2(logits=LOGITS.tolist()), content_type="application/json"),
    ],
    ids=["bytes", "binary extension", "json"],
)
def test_logits_are_read_in_every_form(answer):
    assert fault_in(answer, "cnn", LOGITS) == ""
    assert fault_in(answer, "cnn", LOGITS + 0.1).startswith("answered [0.0, 1.0,")


def test_what_is_no_answer_is_told():
    assert fault_in(response(b"busy", status=503), "digits", None) == "status 503: busy"
    assert fault_in(response(b"[]"), "digits", np.array(1)).startswith("IndexError in reading b'[]'")
    assert fault_in(response(b"123"), "cnn", LOGITS).startswith("ValueError in reading b'123'")


def test_a_constant_is_right_where_only_the_status_is_expected():
    assert fault_in(response(b"anything"), "digits", None) == ""


def test_bodies_are_posted_with_their_type_and_headers(thread_server):
    target = Target("t", "digits", f"{thread_server.url}/infer", (b"a", b"bb", b"c", b"d"))
    assert fault_of(Offer(target, None)) == ""
    assert thread_server.bodies == [b"a", b"bb", b"c"]
    assert fault_of(Offer(thread_server.target(path="/else"), None)).startswith("status 503")


def test_nobody_there_is_a_fault_and_no_error():
    assert fault_of(Offer(Target("t", "digits", "http://127.0.0.1:9/", (b"",)), None)).startswith("ConnectError")
