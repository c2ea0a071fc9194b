"""Cuts growing counters into seconds, for gates whose metric is an expression over one second."""

from __future__ import annotations

from serve_app.config.rollout import RolloutConfig
from serve_app.release.counts import ArmCounts
from serve_app.release.gates import SecondSamples

SAMPLE_S = 1.0


class Seconds:
    """Remembers, for each window, the counters of the last whole second.

    A controller that was restarted begins with the second after it.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, ArmCounts, ArmCounts]] = {}

    def add(
        self,
        samples: SecondSamples,
        config: RolloutConfig,
        window: str,
        counts: tuple[ArmCounts, ArmCounts],
        now_s: float,
    ) -> None:
        """Add what was counted since the last second to `samples`, if a second has passed.

        Args:
            samples: Of the present stage.
            config: The rollout's.
            window: The stage's.
            now_s: Seconds since 1970.
            counts: Of the stable and of the new side, since the window began.
        """
        since_s, stable, new = self._last.get(window, (0.0, counts[0], counts[1]))
        if now_s - since_s < SAMPLE_S:
            return
        if since_s:
            samples.add(config, counts[0] - stable, counts[1] - new)
        self._last = {window: kept for window, kept in self._last.items() if now_s - kept[0] < 60 * SAMPLE_S}
        self._last[window] = (now_s, *counts)
