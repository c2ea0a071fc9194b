"""The statistics extension."""

from __future__ import annotations

from support.arithmetic import INFO

from serve_app.protocol.v2_statistics import model_statistics
from serve_app.types import Duration, ReleaseStatistics, SizeStatistics

FIGURES = ReleaseStatistics(
    answered=Duration(5, 2.5),
    failed=Duration(1, 0.25),
    queue=Duration(5, 0.5),
    merge=Duration(5, 0.000_001),
    compute=Duration(5, 1.5),
    sizes={4: SizeStatistics(Duration(2, 0.125), Duration(2, 1.0)), 1: SizeStatistics(Duration(3), Duration(3, 0.5))},
    last_executed_s=1_700_000_000.1254,
    replicas=2,
)


def figure(count: int, ns: int) -> dict[str, int]:
    return {"count": count, "ns": ns}


def test_rows_and_executions_are_told_apart_and_times_are_nanoseconds():
    assert model_statistics(INFO, FIGURES) == {
        "name": "arithmetic",
        "version": "v1",
        "last_inference": 1_700_000_000_125,
        "inference_count": 11,
        "execution_count": 5,
        "inference_stats": {
            "success": figure(5, 2_500_000_000),
            "fail": figure(1, 250_000_000),
            "queue": figure(5, 500_000_000),
            "compute_input": figure(5, 1_000),
            "compute_infer": figure(5, 1_500_000_000),
            "compute_output": figure(5, 0),
            "cache_hit": figure(0, 0),
            "cache_miss": figure(0, 0),
        },
        "response_stats": {},
        "batch_stats": [
            {
                "batch_size": 1,
                "compute_input": figure(3, 0),
                "compute_infer": figure(3, 500_000_000),
                "compute_output": figure(3, 0),
            },
            {
                "batch_size": 4,
                "compute_input": figure(2, 125_000_000),
                "compute_infer": figure(2, 1_000_000_000),
                "compute_output": figure(2, 0),
            },
        ],
        "memory_usage": [],
        "replicas": 2,
    }
