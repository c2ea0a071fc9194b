"""A controller of releases that says what a test tells it to, hangs, or fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from serve_app.errors import ControllerAway
from serve_app.release.counts import ArmCounts
from serve_app.release.messages import GatewayReport, LiveModel, LiveTable


class FakeControl:
    """Remembers the reports and answers them all with one table.

    Attributes:
        answer: What gateways get.
        fault: Raised instead, if there is one.
        hangs: Whether calls are never answered.
    """

    def __init__(self, answer: LiveTable | None = None) -> None:
        self.answer = answer or LiveTable()
        self.fault: Exception | None = None
        self.hangs = False
        self.reports: list[GatewayReport] = []
        self.arrived: Callable[[], None] = lambda: None

    async def exchange(self, report: GatewayReport) -> LiveTable:
        self.reports.append(report)
        self.arrived()
        if self.hangs:
            await asyncio.Event().wait()
        if self.fault is not None:
            raise self.fault
        return self.answer

    async def command(self, command):
        raise ControllerAway("it is a fake")

    async def status(self):
        return {}

    async def experiment(self, name):
        return {}

    def counted(self, window: str, version: str) -> ArmCounts:
        """Over all gateways: the latest report of each."""
        latest = {report.gateway: report.counts for report in self.reports}
        total = ArmCounts()
        for counts in latest.values():
            total += counts.get(window, {}).get(version, ArmCounts())
        return total


def rollout(base: str, revision: int = 1, window: str = "rollout-1", **model) -> LiveTable:
    """A live table for the arithmetic model."""
    return LiveTable(revision, {"arithmetic": LiveModel(base, window, **model)})
