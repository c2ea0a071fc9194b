"""Triton's statistics extension: what the replicas of a release have executed, as one member of `model_stats`."""

from __future__ import annotations

from serve_app.types import Duration, ReleaseInfo, ReleaseStatistics

_NOTHING = Duration()


def model_statistics(info: ReleaseInfo, figures: ReleaseStatistics) -> dict[str, object]:
    """The figures of one version; those of all its replicas are added up, and `replicas` says how many there are.

    `inference_count` counts rows and `execution_count` batches, as Triton's do. Times are those in the replicas: what a
    request waits in the gateway is in `/metrics`. Giving rows back after an execution is not timed, so that
    `compute_output` is 0; there is no cache.
    """
    return {
        "name": info.model,
        "version": info.version,
        "last_inference": round(1000 * figures.last_executed_s),
        "inference_count": sum(rows * size.compute.count for rows, size in figures.sizes.items()),
        "execution_count": sum(size.compute.count for size in figures.sizes.values()),
        "inference_stats": {
            "success": _duration(figures.answered),
            "fail": _duration(figures.failed),
            "queue": _duration(figures.queue),
            "compute_input": _duration(figures.merge),
            "compute_infer": _duration(figures.compute),
            "compute_output": _duration(Duration(figures.answered.count)),
            "cache_hit": _duration(_NOTHING),
            "cache_miss": _duration(_NOTHING),
        },
        "response_stats": {},
        "batch_stats": [
            {
                "batch_size": rows,
                "compute_input": _duration(size.merge),
                "compute_infer": _duration(size.compute),
                "compute_output": _duration(Duration(size.compute.count)),
            }
            for rows, size in sorted(figures.sizes.items())
        ],
        "memory_usage": [],
        "replicas": figures.replicas,
    }


def _duration(duration: Duration) -> dict[str, int]:
    return {"count": duration.count, "ns": round(1e9 * duration.seconds)}
