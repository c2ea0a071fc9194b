"""Whose rows a batch's thread executes: for runtimes that decide by request and say what they did or left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from serve_app.types import Array, BlockEntry, Timings


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a node whatever the batch is; as of `NodeVisit`."""

    kind: str = ""
    version: str = ""
    device: str = ""
    placement: str = ""
    inside: str = ""


@dataclass(slots=True)
class Visit:
    """What one node of a graph did with a batch.

    Attributes:
        rows: How many it was given.
        places: Which of the batch's rows these were; None for all.
        begin_s: Clock reading.
        seconds: Until it had answered.
        timings: Of a model: where its own time went.
        chosen: Of a router: the node that each of the rows went to.
        cached: Whether each of the rows was remembered; None if none was.
        error: Why it gave no answer, as of `NodeVisit`.
    """

    node: str
    rows: int
    places: Array | None
    begin_s: float
    seconds: float = 0.0
    timings: Timings | None = None
    chosen: Array | None = None
    cached: Array | None = None
    error: str = ""


@dataclass(slots=True)
class Executing:
    """A batch that is being executed.

    Attributes:
        owners: Entries with how many of the rows are theirs, in the rows' order; none in a warm-up.
        deadline: Clock reading at which nobody wants the answer any more; None for never.
        clock: Seconds from any origin, monotonic.
        left_out: What the answer was made without, and why; the runtime fills it.
        visits: What was done; the runtime fills it.
        about: What is known of the nodes that were visited, by their names; the runtime sets it.
    """

    owners: tuple[tuple[BlockEntry, int], ...] = ()
    deadline: float | None = None
    clock: Callable[[], float] = time.perf_counter
    left_out: dict[str, str] = field(default_factory=dict)
    visits: list[Visit] = field(default_factory=list)
    about: Mapping[str, About] = field(default_factory=dict)

    def left_s(self) -> float | None:
        """Seconds until the deadline, at least 0; None for ever."""
        return None if self.deadline is None else max(0.0, self.deadline - self.clock())


_EXECUTING: ContextVar[Executing | None] = ContextVar("executing", default=None)


def current() -> Executing:
    """The batch that this thread executes; outside of any an empty one."""
    return _EXECUTING.get() or Executing()


def executing(batch: Executing) -> _Current:
    """Make a batch the current one of this thread, as a context manager that gives it."""
    return _Current(batch)


class _Current:
    """As `contextlib.contextmanager` would make it of a generator, at a tenth of the cost: there is one a batch."""

    __slots__ = ("_batch", "_token")

    def __init__(self, batch: Executing) -> None:
        self._batch = batch

    def __enter__(self) -> Executing:
        self._token = _EXECUTING.set(self._batch)
        return self._batch

    def __exit__(self, *raised: object) -> None:
        _EXECUTING.reset(self._token)
