"""Bars that say how far a benchmark is and what it does now."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class Steps(Protocol):
    """Told what a benchmark does."""

    def host(self, name: str) -> None:
        """A host is started; the one before is done."""

    def more(self, steps: int) -> None:
        """So many steps have turned out to lie ahead."""

    def step(self, what: str) -> None:
        """A step begins; the one before is done."""


class Bars:
    """Two bars, of hosts and of their steps. They are drawn seldom: drawing costs the CPU that is being measured."""

    def __init__(self, hosts: int, console: Console | None = None) -> None:
        columns = (
            TextColumn("{task.description}", justify="left"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=console, refresh_per_second=1)
        self._hosts = self._progress.add_task("hosts", total=hosts)
        self._steps = self._progress.add_task("starting", total=0)
        self._has_host = self._has_step = False

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._finish_step()
        if self._has_host and kind is None:
            self._progress.advance(self._hosts)
        self._progress.stop()

    def host(self, name: str) -> None:
        """A host is started; the one before is done."""
        self._finish_step()
        if self._has_host:
            self._progress.advance(self._hosts)
        self._has_host = True
        self._progress.update(self._hosts, description=name)
        self._progress.update(self._steps, description="starting")

    def more(self, steps: int) -> None:
        """So many steps have turned out to lie ahead."""
        total = self._progress.tasks[self._steps].total or 0
        self._progress.update(self._steps, total=total + steps)

    def step(self, what: str) -> None:
        """A step begins; the one before is done."""
        self._finish_step()
        self._has_step = True
        self._progress.update(self._steps, description=what)

    def _finish_step(self) -> None:
        if self._has_step:
            self._progress.advance(self._steps)
        self._has_step = False
