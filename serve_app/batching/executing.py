"""Whose rows a batch's thread executes: for runtimes that decide by request or leave something out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from serve_app.types import BlockEntry


@dataclass(slots=True)
class Executing:
    """A batch that is being executed.

    Attributes:
        owners: Entries with how many of the rows are theirs, in the rows' order; none in a warm-up.
        left_out: What the answer was made without, and why; the runtime fills it.
    """

    owners: tuple[tuple[BlockEntry, int], ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)


_EXECUTING: ContextVar[Executing | None] = ContextVar("executing", default=None)


def current() -> Executing:
    """The batch that this thread executes; outside of any an empty one."""
    return _EXECUTING.get() or Executing()


@contextmanager
def executing(batch: Executing) -> Iterator[Executing]:
    """Make a batch the current one of this thread."""
    token = _EXECUTING.set(batch)
    try:
        yield batch
    finally:
        _EXECUTING.reset(token)
