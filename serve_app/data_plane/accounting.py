"""Accounts for every request once, and for those that the traffic split sent also by version."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from serve_app.data_plane.arms import Arms
from serve_app.data_plane.directory import Directory
from serve_app.data_plane.feedback import FeedbackLedger, texts_of
from serve_app.data_plane.shadow import Shadows
from serve_app.errors import ReplicaLost
from serve_app.observability.request_log import RequestLog
from serve_app.release.messages import Feedback
from serve_app.types import InferenceRequest, InferenceResponse

logger = logging.getLogger("serve_app.accounting")


class Accounting:
    """Tells the log about a request; counts what the split sent, copies it to shadows, remembers it for feedback.

    Args:
        log: Told about every request.
        directory: Knows what is in effect.
        random_point: Gives numbers in [0, 1) that choose which requests are copied to shadows.

    Attributes:
        arms: Counters by window and version.
        ledger: Answers that feedback may be about.
    """

    def __init__(self, log: RequestLog, directory: Directory, random_point: Callable[[], float]) -> None:
        self.arms = Arms(lambda: directory.in_effect)
        self.ledger = FeedbackLedger()
        self._log, self._directory = log, directory
        self._shadows = Shadows(directory, self.arms, random_point)

    def answered(
        self, request: InferenceRequest, response: InferenceResponse, seconds: float, *, was_lost: bool = False
    ) -> None:
        """A request was answered after `seconds` in the gateway; one that was lost before is counted already."""
        self._log.answered(request, response, seconds)
        if request.model_version or was_lost:  # whoever names a version says nothing about the split
            return
        self.arms.answered(request.model_name, response.model_version, seconds)
        try:
            self._shadows.copy(request, response)
            self._remember(request, response)
        except Exception:  # the client has nothing to do with it and gets its answer
            logger.exception("the answer to %s is neither copied nor remembered", request.request_id)

    def lost(self, request: InferenceRequest, version: str, error: ReplicaLost) -> None:
        """A version's replica died with a request, which is tried again: an error of that version, whoever answers."""
        if not request.model_version:
            self.arms.failed(request.model_name, version, error)

    def failed(
        self, request: InferenceRequest, version: str, seconds: float, error: BaseException, *, was_lost: bool = False
    ) -> None:
        """A request ended with an error after `seconds` in the gateway; the arguments are as in `RequestLog`."""
        self._log.failed(request, version, seconds, error)
        if not (request.model_version or was_lost):
            self.arms.failed(request.model_name, version, error)

    def feedback(self, items: Sequence[Feedback]) -> None:
        """Count what clients tell about answers.

        Raises:
            InvalidInput: As of `FeedbackLedger.take`.
        """
        self.ledger.take(items)

    async def close(self) -> None:
        """Give up copies under way and write what the log holds back."""
        self._log.flush()
        await self._shadows.close()

    def _remember(self, request: InferenceRequest, response: InferenceResponse) -> None:
        holds = self._directory.in_effect.get(request.model_name)
        if holds is None or not holds.remembers:
            return
        route = self._directory.route(request.model_name, response.model_version)
        arm = self.arms.of(request.model_name, response.model_version)
        if arm is not None:
            self.ledger.remember(request.request_id, arm, texts_of(response, route.info.outputs if route else ()))
