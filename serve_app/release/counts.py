"""What became of the requests of one version: what gateways count and the controller adds up.

Counters only grow and add up over gateways, so that a report which is lost or comes twice changes nothing: the latest
of a gateway replaces the one before.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

LATENCY_EDGES_MS = tuple(2 ** (step / 8) for step in range(-24, 137))
"""Upper bounds of the latency histogram's buckets, 9% apart, from 1/8 ms to 131 s; the last bucket has none."""


@dataclass(slots=True)
class ArmCounts:
    """One version's share of a window of time.

    Attributes:
        requests: That ended with an answer, an error of ours, or too late; not those whose client was wrong or left.
        errors: Of these, by the model or a lost replica.
        deadline_misses: Of these, too late, or refused because they would have been.
        refused: Of these, because a queue was full or nothing ready.
        latency: Answers by bucket of `LATENCY_EDGES_MS`: the whole time in the gateway.
        latency_ms_sum: Of the answers.
        latency_ms_squares: Sum of squares.
        compared: Copied requests whose answer was compared with the stable version's; one row of each counts.
        disagreed: Of these, whose prediction was another.
        rows_compared: All rows of these requests.
        rows_disagreed: Of these, whose prediction was another.
        distance_sum: Mean absolute difference of numeric predictions, summed over compared requests.
        distance_squares: Sum of squares.
        distance_max: The largest one.
        dropped: Requests that should have been copied and were not, because the version was too slow.
        shadow_errors: Copies that ended with an error; they are not among `requests`.
        judged: Answers whose true label came back.
        correct: Of these, that were right.
        rewarded: Answers for which a number came back.
        reward_sum: Sum of these numbers.
        reward_squares: Sum of squares.
    """

    requests: int = 0
    errors: int = 0
    deadline_misses: int = 0
    refused: int = 0
    latency: dict[int, int] = field(default_factory=dict)
    latency_ms_sum: float = 0.0
    latency_ms_squares: float = 0.0
    compared: int = 0
    disagreed: int = 0
    rows_compared: int = 0
    rows_disagreed: int = 0
    distance_sum: float = 0.0
    distance_squares: float = 0.0
    distance_max: float = 0.0
    dropped: int = 0
    shadow_errors: int = 0
    judged: int = 0
    correct: int = 0
    rewarded: int = 0
    reward_sum: float = 0.0
    reward_squares: float = 0.0

    def answered(self, latency_ms: float) -> None:
        """Count one answer."""
        self.requests += 1
        bucket = bisect_left(LATENCY_EDGES_MS, latency_ms)
        self.latency[bucket] = self.latency.get(bucket, 0) + 1
        self.latency_ms_sum += latency_ms
        self.latency_ms_squares += latency_ms * latency_ms

    def __add__(self, other: ArmCounts) -> ArmCounts:
        """Both together."""
        added = {name: getattr(self, name) + getattr(other, name) for name in _SUMS}
        buckets = {**self.latency}
        for bucket, count in other.latency.items():
            buckets[bucket] = buckets.get(bucket, 0) + count
        return ArmCounts(latency=buckets, distance_max=max(self.distance_max, other.distance_max), **added)

    def __sub__(self, before: ArmCounts) -> ArmCounts:
        """What was counted since `before`, an earlier state of the same; `distance_max` stays."""
        left = {name: getattr(self, name) - getattr(before, name) for name in _SUMS}
        buckets = {
            bucket: count - before.latency.get(bucket, 0)
            for bucket, count in self.latency.items()
            if count > before.latency.get(bucket, 0)
        }
        return ArmCounts(latency=buckets, distance_max=self.distance_max, **left)

    def to_json(self) -> dict[str, object]:
        """As JSON has it; counters of 0 are left out."""
        plain = asdict(self) | {"latency": {str(bucket): count for bucket, count in self.latency.items()}}
        return {name: value for name, value in plain.items() if value}

    @classmethod
    def from_json(cls, document: Mapping[str, object]) -> ArmCounts:
        """What `to_json` wrote; counters that this version of the code does not know are left out."""
        known = {name: value for name, value in document.items() if name in _NAMES}
        latency = known.pop("latency", {})
        buckets = {int(bucket): int(count) for bucket, count in latency.items()} if isinstance(latency, Mapping) else {}
        return cls(latency=buckets, **known)  # type: ignore[arg-type]


_NAMES = frozenset(f.name for f in fields(ArmCounts))
_SUMS = tuple(f.name for f in fields(ArmCounts) if f.name not in ("latency", "distance_max"))
