"""The targets that a program offers, and what the programs of `apps/` find in their environment."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from load_tests.models import RAW_CONTENT_TYPE, Workload
from load_tests.servers.answers import Offer
from load_tests.target import Target

APPS = Path(__file__).parent / "apps"
"""Programs that run in other interpreters and clusters; a folder on their path, not a package."""

CNN_THREADS = "BENCH_CNN_THREADS"

RAW_TENSOR = (("Inference-Header-Content-Length", "0"),)
"""The header of V2's binary extension that says: the body is the only input, nothing else."""


def offer_of(name: str, workload: Workload, url: str, headers: tuple[tuple[str, str], ...] = ()) -> Offer:
    """Digits as V2 JSON, an image as its bytes."""
    if workload.name == "digits":
        return json_offer(name, workload, url)
    target = Target(name, workload.name, url, workload.raw_bodies(), RAW_CONTENT_TYPE, headers)
    return Offer(target, workload.expected)


def json_offer(name: str, workload: Workload, url: str) -> Offer:
    """Either workload as V2 JSON."""
    return Offer(Target(name, workload.name, url, workload.json_bodies()), workload.expected)


def app_environment(workloads: Sequence[Workload], threads: int = 1) -> dict[str, str]:
    """Where the programs of `apps/` find each other and the models, and the threads of an execution of `cnn`.

    Args:
        workloads: Both models.
        threads: As of `cnn_threads`.
    """
    path = os.pathsep.join(filter(None, [str(APPS), os.environ.get("PYTHONPATH")]))
    models = {f"BENCH_{workload.name.upper()}_ONNX": str(workload.artifact) for workload in workloads}
    return {"PYTHONPATH": path, CNN_THREADS: str(cnn_threads(threads)), **models}


def cnn_threads(best: int) -> int:
    """Threads of an execution of `cnn`: those a server is fastest with, unless the environment has the same for all.

    Args:
        best: Found by runs with `BENCH_CNN_THREADS=1` and `=2`.
    """
    return int(os.environ.get(CNN_THREADS, best))
