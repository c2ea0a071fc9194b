"""The answer's `explanation` parameter."""

from __future__ import annotations

import json

from serve_app.protocol.explanation import floored_ms, said_explanation
from serve_app.types import InferenceResponse, Timings
from serve_app.visits import NodeVisit

VISITS = (
    NodeVisit("sure", 2, 1.5, 4.5, 8, compute_ms=0.5, kind="cascade", placement="fused", chosen={"small": 1, "big": 1}),
    NodeVisit("big", 1, 2.0, 4.0, 32, 1.0, 2.0, "model", "m.big-v1", "cuda:0", "own", "sure"),
    NodeVisit("small", 2, 0.25, 1.00049, 8, 0.0, 1.0, "model", "models/small", "cpu", "fused", cached=1),
    NodeVisit("far", 1, 2.0, 1.0, 1, placement="remote", inside="sure", error="RemoteUnavailable"),
)


def test_nodes_are_told_in_the_order_of_their_begin_with_what_is_known_of_them():
    response = InferenceResponse("m", "v1", {}, timings=Timings(0.002, 0.001, 0.0065, 8), queued_s=0.001, visits=VISITS)
    told = json.loads(said_explanation(response))
    assert {name: told[name] for name in told if name != "nodes"} == {
        "release": "m-v1",
        "queue_ms": 3,
        "batch_ms": 1,
        "compute_ms": 6.5,
        "batch_rows": 8,
    }
    small, sure, big, far = told["nodes"]
    assert small == {
        "node": "small",
        "kind": "model",
        "version": "models/small",
        "device": "cpu",
        "placement": "fused",
        "rows": 2,
        "batch_rows": 8,
        "begin_ms": 0.25,
        "ms": 1.0,
        "critical_ms": 1.0,
        "queue_ms": 0,
        "compute_ms": 1.0,
        "cached": 1,
    }
    assert (sure["chosen"], sure["critical_ms"], sure["ms"]) == ({"small": 1, "big": 1}, 0.5, 4.5)
    assert (big["inside"], big["critical_ms"], big["queue_ms"], big["batch_rows"]) == ("sure", 4.0, 1.0, 32)
    assert (far["error"], far["critical_ms"], "compute_ms" in far) == ("RemoteUnavailable", 0.0, False)


def test_times_are_rounded_down_so_that_a_sum_of_them_is_never_too_much():
    assert [floored_ms(ms) for ms in (0.0, 0.0019999, 1.0, 2.7182818)] == [0.0, 0.001, 1.0, 2.718]
