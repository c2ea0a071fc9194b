"""The model configuration, with Triton's own message as the judge of its form."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from support.arithmetic import INFO

from serve_app.datatypes import Datatype
from serve_app.protocol.v2_config import model_config
from serve_app.types import TensorSpec

JUDGE = """
import sys
from google.protobuf import json_format
from tritonclient.grpc import model_config_pb2
print(json_format.Parse(sys.stdin.read(), model_config_pb2.ModelConfig()).max_batch_size)
"""


def test_a_release_is_described_in_tritons_words():
    config = model_config(replace(INFO, slo_ms=70.5, allowed_rows=(1, 8)))
    assert config["max_batch_size"] == 8
    assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [3]}]
    assert config["output"][1] == {"name": "total", "data_type": "TYPE_INT64", "dims": []}
    assert config["instance_group"] == [{"name": "arithmetic-v1", "kind": "KIND_CPU"}]
    assert config["dynamic_batching"] == {
        "preferred_batch_size": [1, 8],
        "max_queue_delay_microseconds": 0,
        "priority_levels": 9,
        "default_priority_level": 5,
        "default_queue_policy": {
            "timeout_action": "REJECT",
            "default_timeout_microseconds": 70500,
            "allow_timeout_override": True,
            "max_queue_size": 4096,
        },
    }
    assert config["parameters"]["version"] == {"string_value": "v1"}


@pytest.mark.parametrize(("device", "kind"), [("cpu", "KIND_CPU"), ("cuda:0", "KIND_GPU")])
def test_the_device_is_the_kind(device, kind):
    assert model_config(replace(INFO, device=device))["instance_group"][0]["kind"] == kind


def test_tritons_own_message_takes_every_datatype():
    """In a process of its own: only one package may register the protocol's messages in each."""
    specs = tuple(TensorSpec(datatype.value, datatype, (-1, 2)) for datatype in Datatype)
    document = json.dumps(model_config(replace(INFO, inputs=specs, slo_ms=5)))
    command = [sys.executable, "-c", JUDGE]
    judged = subprocess.run(command, input=document, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    assert judged.stdout == "8\n"
