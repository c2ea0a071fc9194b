from __future__ import annotations

import os

from load_tests.servers.offers import (
    APPS,
    RAW_TENSOR,
    SAME_THREADS,
    app_environment,
    cnn_threads,
    json_offer,
    offer_of,
    threads_note,
)


def test_digits_are_json_and_images_are_bytes(workloads):
    digits, cnn = (offer_of("a", workload, "http://u", RAW_TENSOR) for workload in workloads)
    assert (digits.target.content_type, digits.target.headers) == ("application/json", ())
    assert digits.target.bodies[0].startswith(b'{"inputs":[{"name":"pixels","datatype":"FP32","shape":[1,64]')
    assert (cnn.target.content_type, cnn.target.headers) == ("application/octet-stream", RAW_TENSOR)
    assert len(cnn.target.bodies[0]) == 4 * 3 * 64 * 64
    assert digits.expected is workloads[0].expected


def test_an_image_can_go_as_json(workloads):
    assert b'"shape":[1,3,64,64]' in json_offer("a", workloads[1], "http://u").target.bodies[0]


def test_programs_find_each_other_and_the_models(workloads, monkeypatch):
    monkeypatch.delenv(SAME_THREADS, raising=False)
    environment = app_environment(workloads, "mosec")
    assert environment["PYTHONPATH"].split(os.pathsep)[0] == str(APPS)
    assert environment["BENCH_CNN_ONNX"] == str(workloads[1].artifact)
    assert environment["BENCH_CNN_THREADS"] == "2"
    assert (APPS / "onnx_model.py").is_file()


def test_a_server_has_the_threads_that_are_best_for_it_unless_all_get_the_same(monkeypatch):
    monkeypatch.delenv(SAME_THREADS, raising=False)
    assert (cnn_threads("LitServe"), cnn_threads("FastAPI by hand")) == (1, 2)
    assert "serve-app 2, FastAPI by hand 2, mosec 2, PyTriton 2, the others 1" in threads_note()
    monkeypatch.setenv(SAME_THREADS, "1")
    assert cnn_threads("FastAPI by hand") == 1
    assert "1 with every server" in threads_note()
