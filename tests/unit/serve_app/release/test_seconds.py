from __future__ import annotations

from serve_app.config.rollout import RolloutConfig
from serve_app.release.counts import ArmCounts
from serve_app.release.seconds import Seconds

CONFIG = RolloutConfig.model_validate(
    {"strategy": "canary", "steps": [{"percent": 5}], "gates": [{"expression": "refused / requests", "max": 0.5}]}
)


class Samples:
    def __init__(self) -> None:
        self.added: list[tuple[int, int]] = []

    def add(self, config, stable, new) -> None:
        self.added.append((stable.requests, new.requests))


def test_a_sample_is_what_was_counted_in_a_second():
    seconds, samples = Seconds(), Samples()
    for now_s, stable, new in ((10.0, 5, 1), (10.5, 7, 1), (11.0, 9, 2), (12.0, 9, 4)):
        seconds.add(samples, CONFIG, "w", (ArmCounts(requests=stable), ArmCounts(requests=new)), now_s)
    assert samples.added == [(4, 1), (0, 2)]


def test_windows_are_cut_apart():
    seconds, samples = Seconds(), Samples()
    seconds.add(samples, CONFIG, "w", (ArmCounts(requests=5), ArmCounts()), 10.0)
    seconds.add(samples, CONFIG, "x", (ArmCounts(requests=1), ArmCounts()), 11.0)
    seconds.add(samples, CONFIG, "w", (ArmCounts(requests=8), ArmCounts()), 11.0)
    assert samples.added == [(3, 0)]
