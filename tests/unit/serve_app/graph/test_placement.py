"""Placements and their reasons."""

import pytest
from pydantic import TypeAdapter

from serve_app.config.graph import Node
from serve_app.graph.placement import Placement, placed

MODEL = {"kind": "model", "name": "m", "source": "s"}
SCALE = {"kind": "transform", "name": "t", "input": "x", "steps": [{"op": "softmax"}]}
Y = {"name": "y", "datatype": "FP32", "shape": [-1]}
REMOTE = {"kind": "remote", "name": "r", "url": "far:8001", "model": "m", "inputs": {"x": "x"}, "outputs": [Y]}
UNSEEN = " of its own (deployments: is not seen here; for scaling of its own it needs placement: own)"


@pytest.mark.parametrize(
    ("node", "placement", "reason"),
    [
        (MODEL, Placement.FUSED, f"auto: it asks for no accelerator, gpu_memory_mib, timeout_ms or retries{UNSEEN}"),
        (SCALE, Placement.FUSED, f"auto: it asks for no timeout_ms or retries{UNSEEN}"),
        ({**MODEL, "placement": "fused"}, Placement.FUSED, "placement: fused"),
        ({**MODEL, "placement": "own", "retries": 1}, Placement.OWN, "placement: own"),
        ({**MODEL, "timeout_ms": 50}, Placement.OWN, "auto: timeout_ms 50"),
        ({**MODEL, "retries": 2}, Placement.OWN, "auto: retries 2"),
        ({**MODEL, "accelerator": "gpu"}, Placement.OWN, "auto: accelerator gpu"),
        (REMOTE, Placement.REMOTE, "it is a model of another server"),
        (
            {"kind": "fallback", "name": "f", "targets": ["a", "b"]},
            Placement.FUSED,
            "what combines or routes is in its graph's process",
        ),
    ],
)
def test_every_placement_has_its_reason(node, placement, reason):
    assert placed(TypeAdapter(Node).validate_python(node)) == (placement, reason)


def test_what_is_fused_is_where_its_release_is():
    nodes = [TypeAdapter(Node).validate_python(node) for node in (MODEL, SCALE, REMOTE)]
    inline = (Placement.INLINE, "auto: its release is inline in the gateway's table")
    assert [placed(node, Placement.INLINE) for node in nodes] == [
        inline,
        inline,
        (Placement.REMOTE, "it is a model of another server"),
    ]
