"""The gateway's talk with the controller of releases: once a second what was counted against what should hold."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable

from serve_app.data_plane.accounting import Accounting
from serve_app.data_plane.directory import Directory
from serve_app.release.control import ReleaseControl
from serve_app.release.messages import Feedback, GatewayReport, LiveTable

logger = logging.getLogger("serve_app.exchange")

PERIOD_S, MIN_GAP_S = 1.0, 0.05
PATIENCE_S = 0.8  # the controller answers later where it has no news, and at once when there is some
TIMEOUT_S = 2.0
COMPLAIN_S = 10.0  # between two lines about a controller that cannot be asked


class Exchange:
    """Reports to the controller and takes its table into effect; without it the last table holds and counts add up.

    What was reported and not answered is reported again: counters are whole sums, and feedback has its request's id.

    Args:
        control: The controller.
        directory: Where the table takes effect.
        accounting: Where requests are counted.
        clock: Seconds from any origin, monotonic.
    """

    def __init__(
        self,
        control: ReleaseControl,
        directory: Directory,
        accounting: Accounting,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._control, self._directory, self._accounting, self._clock = control, directory, accounting, clock
        self._gateway = secrets.token_hex(8)
        self._wants_declared, self._complained_at = False, float("-inf")
        self._was_asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to exchange, once a second; the loop must be running."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def asked(self) -> None:
        """Return once the controller was asked for the first time, whether it has answered or not."""
        await self._was_asked.wait()

    @property
    def was_asked(self) -> bool:
        """Whether `asked` would return at once."""
        return self._was_asked.is_set()

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def once(self) -> bool:
        """Report, and take the answer into effect; false if there was none."""
        feedback = self._accounting.ledger.unknown()
        try:
            report = self._report(tuple(feedback.values()))
            async with asyncio.timeout(TIMEOUT_S):
                live = await self._control.exchange(report)
            self._accounting.arms.told()
            self._accounting.ledger.passed_on(feedback)
            self._apply(live)
        except Exception as error:  # whatever keeps the controller from answering, traffic goes on
            self._complain(error)
            return False
        finally:
            self._was_asked.set()
        return True

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began, before = loop.time(), self._directory.live.revision
            await self.once()
            is_news = self._directory.live.revision != before  # the controller waits to hear that it is in effect
            await asyncio.sleep(MIN_GAP_S if is_news else max(MIN_GAP_S, PERIOD_S - (loop.time() - began)))

    def _report(self, feedback: tuple[Feedback, ...]) -> GatewayReport:
        directory, table = self._directory, self._directory.table
        return GatewayReport(
            self._gateway,
            directory.live.revision,
            directory.fingerprints,
            table.model_dump(mode="json") if table and self._wants_declared else None,
            {model: {one.version: one.reason for one in directory.versions(model)} for model in directory.models},
            self._accounting.arms.read(),
            feedback,
            PATIENCE_S,
        )

    def _apply(self, live: LiveTable) -> None:
        if live.revision != self._directory.live.revision:
            logger.info("the controller's table %d is in effect", live.revision)
        self._wants_declared = live.wants_declared
        self._directory.set_live(live)
        self._accounting.ledger.take_from_others(live.feedback)

    def _complain(self, error: Exception) -> None:
        now = self._clock()
        if now - self._complained_at >= COMPLAIN_S:
            self._complained_at = now
            dropped = self._accounting.ledger.dropped
            lost = f"; {dropped} items of feedback were dropped by now" if dropped else ""
            logger.warning("the controller of releases does not answer, the last table holds: %r%s", error, lost)
