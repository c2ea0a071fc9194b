"""How thoroughly a benchmark measures."""

from __future__ import annotations

from dataclasses import dataclass, field

from load_tests.goodput import GoodputSettings


@dataclass(frozen=True, slots=True)
class Plan:
    """Lengths and numbers of one benchmark.

    Attributes:
        rounds: How often every target is measured; each host is started anew for each round.
        connections: Points of the closed loop.
        many_connections: One more point, for targets that answer `fast_per_s` at the last of `connections`; 0: none.
        warm_up_s: Load on each target before it is measured.
        point_s: Length of a closed-loop point, in whole seconds.
        goodput: How to look for the highest rate in time.
        ramp_s: Length of the open loop up and down during which batch sizes are read.
        limit_s: Once this time would be over, what is not a closed-loop point is left out; 0 for no limit.
        host_reserve_s: Of that time, what is kept for each host that is still to come.
    """

    rounds: int = 3
    connections: tuple[int, ...] = (1, 16, 64)
    many_connections: int = 256
    fast_per_s: float = 4000.0
    warm_up_s: float = 2.0
    point_s: float = 6.0
    goodput: GoodputSettings = field(default_factory=GoodputSettings)
    ramp_s: int = 60
    limit_s: float = 0.0
    host_reserve_s: float = 60.0

    @property
    def goodput_s(self) -> float:
        """About how long one search takes, at the most."""
        search = self.goodput
        return ((search.max_rates + 1) * search.runs + len(search.run_once)) * (search.seconds + 1.0)


FULL = Plan()
QUICK = Plan(
    rounds=1,
    many_connections=0,
    warm_up_s=1.0,
    point_s=2.0,
    goodput=GoodputSettings(seconds=2.0, max_rates=6, multiples=()),
    ramp_s=20,
    limit_s=255.0,
    host_reserve_s=55.0,
)
