"""Waiting for a state instead of sleeping."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable


async def until(claim: Callable[[], bool], seconds: float = 10.0) -> None:
    """Return once `claim` holds; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > deadline:
            raise AssertionError("the awaited state did not come")
        await asyncio.sleep(0)


def graph_threads() -> set[threading.Thread]:
    """Those that graphs have started."""
    return {one for one in threading.enumerate() if one.name == "graph" or one.name.startswith("node-")}
