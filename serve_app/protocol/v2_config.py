"""Triton's model configuration extension: its `ModelConfig` as JSON, made of what a release says about itself.

Only fields that have a meaning here are written; a `ModelConfig` message takes every other one as its default.
"""

from __future__ import annotations

from serve_app.datatypes import Datatype
from serve_app.types import DEFAULT_PRIORITY, MAX_PRIORITY, ReleaseInfo, TensorSpec

_DATA_TYPES = {datatype: f"TYPE_{datatype}" for datatype in Datatype} | {Datatype.BYTES: "TYPE_STRING"}


def model_config(info: ReleaseInfo) -> dict[str, object]:
    """The configuration of one version, as `GET /v2/models/{m}/config` tells it.

    Every model here has a batch axis, which `dims` leave out, and takes what it executes from a queue with priorities.
    `parameters` say what Triton has no field for.
    """
    gpu = info.device.startswith("cuda")
    return {
        "name": info.model,
        "platform": info.platform,
        "backend": info.platform,
        "version_policy": {"all": {}},
        "max_batch_size": info.max_rows,
        "input": [_tensor(spec) for spec in info.inputs],
        "output": [_tensor(spec) for spec in info.outputs],
        "instance_group": [{"name": info.release, "kind": "KIND_GPU" if gpu else "KIND_CPU"}],
        "dynamic_batching": {
            "preferred_batch_size": list(info.allowed_rows),
            "max_queue_delay_microseconds": 0,
            "priority_levels": MAX_PRIORITY,
            "default_priority_level": DEFAULT_PRIORITY,
            "default_queue_policy": _queue_policy(info),
        },
        "model_transaction_policy": {"decoupled": info.decoupled},
        "parameters": {
            "version": {"string_value": info.version},
            "device": {"string_value": info.device},
            "prediction": {"string_value": info.prediction},
            "max_batch_bytes": {"string_value": str(info.max_batch_bytes)},
        },
    }


def _queue_policy(info: ReleaseInfo) -> dict[str, object]:
    """What waits too long is refused; a request may say a shorter time. The queue's size is in rows."""
    return {
        "timeout_action": "REJECT",
        "default_timeout_microseconds": 0 if info.slo_ms is None else round(1000 * info.slo_ms),
        "allow_timeout_override": True,
        "max_queue_size": info.max_queue_rows,
    }


def _tensor(spec: TensorSpec) -> dict[str, object]:
    return {"name": spec.name, "data_type": _DATA_TYPES[spec.datatype], "dims": list(spec.shape[1:])}
