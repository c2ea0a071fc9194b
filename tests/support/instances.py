"""Several copies of a model at work at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from serve_app.runtimes.base import Runtime
from serve_app.types import Array

TURNS = 50


def check_answers_in_threads(runtimes: Sequence[Runtime], input_name: str, batches: Sequence[Array]) -> None:
    """Each, in a thread of its own, answers as the first one does alone; answers are kept until all have executed."""

    def answers(runtime: Runtime) -> list[dict[str, Array]]:
        return [dict(runtime.predict({input_name: batch})) for batch in batches]

    alone = answers(runtimes[0])
    with ThreadPoolExecutor(len(runtimes)) as threads:
        for found in threads.map(answers, runtimes):
            for ours, expected in zip(found, alone, strict=True):
                for name, array in expected.items():
                    np.testing.assert_allclose(ours[name], array, rtol=1e-4, atol=1e-5)
