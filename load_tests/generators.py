"""Runs an open loop in processes of its own, so that nothing else in this one delays it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from load_tests.arrivals import arrivals_s
from load_tests.open_loop import OpenLoad, OpenResult, generate, merged
from load_tests.points import LoadFailed

_START_MARGIN_S = 0.05


def run(load: OpenLoad, processes: int = 1) -> OpenResult:
    """Put an open-loop load on its target and wait for the end.

    Args:
        load: The schedule is dealt out to the processes in turn, its connections evenly.
        processes: At least 1; more only where the machine has cores to spare.

    Raises:
        LoadFailed: A generator ended without a result.
    """
    context = multiprocessing.get_context("spawn")
    pipes, workers = [], []
    for index in range(processes):
        ours, theirs = context.Pipe()
        workers.append(context.Process(target=_work, args=(theirs, load, index, processes), daemon=True))
        pipes.append(ours)
        workers[-1].start()
        theirs.close()  # the child has its own copy: ours would keep its end from being noticed
    try:
        return _collect(pipes)
    except EOFError:
        raise LoadFailed(f"a load generator for {load.target.url} ended without a result") from None
    finally:
        for pipe, worker in zip(pipes, workers, strict=True):
            pipe.close()
            worker.join()


def _collect(pipes: list[Connection[object, object]]) -> OpenResult:
    for pipe in pipes:
        pipe.recv()  # it is ready
    start = time.perf_counter() + _START_MARGIN_S  # the clock is the machine's, the same in every process
    for pipe in pipes:
        pipe.send(start)
    return merged([result for pipe in pipes if isinstance(result := pipe.recv(), OpenResult)])


def _work(pipe: Connection[object, object], load: OpenLoad, index: int, processes: int) -> None:
    """One generator: its share of the schedule, at the common start."""
    due_s = arrivals_s(load.phases, load.seed)[index::processes].tolist()
    gc.freeze()
    gc.disable()  # a collection in the middle would look like a slow server
    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):  # the parent is gone, or is being stopped
        pipe.send("ready")
        start = pipe.recv()
        if isinstance(start, float):
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                pipe.send(runner.run(generate(_share(load, processes), due_s, start)))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        from uvloop import new_event_loop  # noqa: PLC0415 - there is none on Windows
    except ImportError:
        return asyncio.new_event_loop
    return new_event_loop


def _share(load: OpenLoad, processes: int) -> OpenLoad:
    connections = max(1, load.connections // processes)
    return OpenLoad(load.target, load.phases, load.seed, load.slo_ms, connections, load.grace_s)
