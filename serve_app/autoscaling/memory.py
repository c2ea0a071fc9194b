"""What the policy is told each time, and what it keeps from one time to the next."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from serve_app.autoscaling.history import History

REGRET_S = 600.0  # a replica called back sooner should not have been sent away
MOST_REGRETS = 6  # 64 times the hold-off


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known at one time.

    Attributes:
        now: Seconds since the epoch.
        target: Replicas that there are to be.
        running: Names of those that take rows.
        latest: When the newest report was made, by the clock of its replica; minus infinity if there is none.
        reports: Gives what they reported within the look-back.
        look_back_s: Seconds that reports are kept.
        hold_off_s: Seconds for which fewer replicas must be enough before one is sent away.
        least: Fewest replicas.
        most: Most replicas.
    """

    now: float
    target: int
    running: frozenset[str]
    latest: float
    reports: Callable[[], Mapping[str, History]]
    look_back_s: float
    hold_off_s: float
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Memory:
    """What is kept between decisions, the last of which is `desired`.

    Attributes:
        desired: Replicas that there should be; 0 where nothing has been decided since the replicas changed.
        reason: Why, in words for the log; empty where it is the target.
        latest: When the newest report was made.
        target: Replicas that there were to be.
        running: Names of the replicas.
        changed_at: When another replica came or went last.
        low_since: Since when fewer replicas than the target have been enough; infinite where they are not.
        low_need: How many were enough all that time.
        left_at: When a replica was sent away last.
        regrets: How many times in a row one was called back soon.
        limit: Load of one replica that proved to be too much; infinite where none did.
        limit_at: When that was.
    """

    desired: int = 0
    reason: str = ""
    latest: float = -math.inf
    target: int = 0
    running: frozenset[str] = frozenset()
    changed_at: float = -math.inf
    low_since: float = math.inf
    low_need: int = 0
    left_at: float = -math.inf
    regrets: int = 0
    limit: float = math.inf
    limit_at: float = -math.inf

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Memory:
        """Read it from a mapping that may hold other things too."""
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in state.items() if key in known})

    def as_state(self) -> dict[str, Any]:
        """As a plain mapping."""
        return asdict(self)

    def updated(self, situation: Situation) -> Memory:
        """With what became of the replicas since the last decision."""
        memory, now = self, situation.now
        if situation.target < self.target:
            memory = replace(memory, left_at=now)
        elif situation.target > self.target:
            regrets = min(self.regrets + 1, MOST_REGRETS) if now - self.left_at < REGRET_S else 0
            memory = replace(memory, regrets=regrets)
        if situation.running != self.running:
            memory = replace(memory, running=situation.running, changed_at=now)
        if memory is not self:
            memory = replace(memory, target=situation.target, desired=0, low_since=math.inf, low_need=0)
        return memory

    def kept(self, situation: Situation) -> Memory:
        """With the decision that the target is right."""
        return replace(self, desired=situation.target, reason="", low_since=math.inf, low_need=0)

    def raised(self, need: int, reason: str) -> Memory:
        """With the decision that more replicas are needed."""
        return replace(self, desired=need, reason=reason, low_since=math.inf, low_need=0)

    def lowered(self, situation: Situation, need: int, reason: str) -> Memory:
        """With the decision that fewer replicas are enough, once they have been for as long as regrets ask for.

        The largest need of that time counts, and Ray's own hold-off comes on top.
        """
        since, need = min(self.low_since, situation.now), max(self.low_need, need)
        memory = replace(self, low_since=since, low_need=need)
        if situation.now - since < situation.hold_off_s * (2**self.regrets - 1):
            return replace(memory, desired=situation.target, reason="")
        return replace(memory, desired=need, reason=reason)
