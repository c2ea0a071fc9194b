"""What became of the requests that the split sent, by window and version; told to the controller once a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from serve_app.data_plane.in_effect import InEffect
from serve_app.errors import DeadlineExceeded, DeadlineUnreachable, ModelNotReady, Overloaded, RequestError
from serve_app.observability.request_log import UNKNOWN
from serve_app.release.counts import ArmCounts
from serve_app.release.messages import Counts

_LATE = (DeadlineExceeded, DeadlineUnreachable)
_REFUSED = (Overloaded, ModelNotReady)
MOST_HOMES = 4  # windows without a rollout that may come back, of one model
_NOT_OURS = (RequestError, asyncio.CancelledError, GeneratorExit)


@dataclass(slots=True)
class _Window:
    """One model's requests while one thing held for it."""

    name: str
    arms: dict[str, ArmCounts] = field(default_factory=dict)


class Arms:
    """Counters of the window in effect and the one before, for each model; only the event loop may call it.

    Args:
        in_effect: What holds now, by model.
    """

    def __init__(self, in_effect: Callable[[], Mapping[str, InEffect]]) -> None:
        self._in_effect = in_effect
        self._windows: dict[str, _Window] = {}
        self._ended: dict[str, _Window] = {}
        self._telling: dict[str, _Window] = {}
        self._homes: dict[str, dict[str, _Window]] = {}  # told or not: sums must not begin anew behind a rollout

    def of(self, model: str, version: str) -> ArmCounts | None:
        """The counters of a version in the window of now; None for a model that is not served."""
        holds = self._in_effect().get(model)
        if holds is None:
            return None
        window = self._windows.get(model)
        if window is None or window.name != holds.window:
            window = self._begin(model, holds)
        arm = window.arms.get(version)
        if arm is None:
            arm = window.arms[version] = ArmCounts()
        return arm

    def answered(self, model: str, version: str, seconds: float) -> None:
        """Count an answer that took so long in the gateway."""
        if (arm := self.of(model, version)) is not None:
            arm.answered(1000 * seconds)

    def failed(self, model: str, version: str, error: BaseException) -> None:
        """Count a request without an answer, unless it was wrong itself, its client left, or it never had a version."""
        if isinstance(error, _NOT_OURS) or version in ("", UNKNOWN) or (arm := self.of(model, version)) is None:
            return
        arm.requests += 1
        if isinstance(error, _LATE):
            arm.deadline_misses += 1
        elif isinstance(error, _REFUSED):
            arm.refused += 1
        else:
            arm.errors += 1

    def read(self) -> Counts:
        """A copy of all there is, by window and version; windows that have ended are in it until `told`."""
        self._end_old()
        self._telling = dict(self._ended)
        return {
            window.name: {version: replace(arm, latency=dict(arm.latency)) for version, arm in window.arms.items()}
            for windows in (self._ended, self._windows)
            for window in windows.values()
            if window.arms
        }

    def told(self) -> None:
        """The controller has got what `read` gave last: forget the windows that had ended by then."""
        told = self._telling
        self._ended = {model: window for model, window in self._ended.items() if told.get(model) is not window}

    def _begin(self, model: str, holds: InEffect) -> _Window:
        """The window of what holds: a new one, or one from before if that is in effect again."""
        before, ended = self._windows.get(model), self._ended.pop(model, None)
        if before is not None:
            self._ended[model] = before
        homes = self._homes.setdefault(model, {})
        window = homes.pop(holds.window, None)
        if window is None:
            window = ended if ended is not None and ended.name == holds.window else _Window(holds.window)
        if window.name == holds.home:
            homes[window.name] = window
            while len(homes) > MOST_HOMES:
                del homes[next(iter(homes))]
        self._windows[model] = window
        return window

    def _end_old(self) -> None:
        holds = self._in_effect()
        for model, window in list(self._windows.items()):
            if model not in holds:
                self._ended[model] = self._windows.pop(model)
                self._homes.pop(model, None)
            elif window.name != holds[model].window:
                self._begin(model, holds[model])
