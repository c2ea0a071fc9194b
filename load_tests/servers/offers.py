"""The targets that a program offers, and what the programs of `apps/` find in their environment."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from load_tests.models import RAW_CONTENT_TYPE, Workload
from load_tests.servers.answers import Offer
from load_tests.target import OURS, Target

APPS = Path(__file__).parent / "apps"
"""Programs that run in other interpreters and clusters; a folder on their path, not a package."""

SAME_THREADS = "BENCH_CNN_THREADS"
"""Of the environment: how many threads an execution of `cnn` has with every server."""

CNN_THREADS = {OURS: 2, "FastAPI by hand": 2, "mosec": 2, "PyTriton": 2}
"""The same where that is not set: what a server is fastest with on two cores, found by setting it to 1 and to 2."""

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


def app_environment(workloads: Sequence[Workload], server: str) -> dict[str, str]:
    """Where a server's programs of `apps/` find each other and the models, and the threads of an execution of `cnn`."""
    path = os.pathsep.join(filter(None, [str(APPS), os.environ.get("PYTHONPATH")]))
    models = {f"BENCH_{workload.name.upper()}_ONNX": str(workload.artifact) for workload in workloads}
    return {"PYTHONPATH": path, SAME_THREADS: str(cnn_threads(server)), **models}


def cnn_threads(server: str) -> int:
    """Threads of an execution of `cnn`."""
    return int(os.environ.get(SAME_THREADS) or CNN_THREADS.get(server, 1))


def threads_note() -> str:
    """What a report says about them."""
    same = os.environ.get(SAME_THREADS)
    own = ", ".join(f"{server} {threads}" for server, threads in CNN_THREADS.items())
    told = f"{same} with every server" if same else f"{own}, the others 1"
    return f"Threads of an execution of cnn: {told} ({SAME_THREADS} sets the same for all)."
