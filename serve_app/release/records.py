"""What the controller remembers over its own death, the head node's and the cluster's; `store.py` keeps it.

Times are seconds since 1970: they must mean the same after a restart, on whatever machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from serve_app.release.counts import ArmCounts


class Phase(StrEnum):
    """How far a rollout is."""

    WAITING = "waiting"  # until the new versions are ready at every gateway
    RUNNING = "running"  # a step is under way
    PAUSED = "paused"  # a step is over and a person must promote
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"  # the new version never became ready; its weight stayed 0
    SUPERSEDED = "superseded"  # somebody declared another table meanwhile

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self not in (Phase.WAITING, Phase.RUNNING, Phase.PAUSED)


@dataclass(frozen=True, slots=True)
class Routing:
    """Who answers: percent by version tag, and version tag by label."""

    traffic: Mapping[str, float]
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """One rollout, from its start on.

    Attributes:
        id: Unique, in the order of their starts.
        before: What a rollback gives back.
        after: What it is for.
        config: `RolloutConfig` as JSON.
        base: Fingerprint of the declared entry when it began; empty once it is over and another one was declared.
        step: Index of the step under way.
        step_began_s: When it began; 0 before the first.
        reason: Why it ended, or what it waits for.
        verdicts: The gates' last, as JSON.
        actor: Who started it.
        samples: Per-second sums of the gates with expressions, as JSON.
    """

    id: str
    model: str
    before: Routing
    after: Routing
    config: Mapping[str, object]
    base: str
    phase: Phase = Phase.WAITING
    step: int = 0
    step_began_s: float = 0.0
    reason: str = ""
    verdicts: tuple[Mapping[str, object], ...] = ()
    actor: str = ""
    started_s: float = 0.0
    ended_s: float = 0.0
    samples: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CountsRecord:
    """The latest counters of one gateway for one version in one window."""

    window: str
    version: str
    gateway: str
    counts: ArmCounts


@dataclass(frozen=True, slots=True)
class Retirement:
    """An application that is deleted at `at_s` unless it has traffic then."""

    release: str
    at_s: float
    actor: str = ""


@dataclass(frozen=True, slots=True)
class UnloadedApplication:
    """An application that a call unloaded, so that another call can load it again."""

    name: str
    config: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Event:
    """A change of traffic, or of what can take it, and who made it.

    Attributes:
        id: Unique.
        kind: A word, e.g. `rollout_started`, `step`, `succeeded`, `rolled_back`, `declared`, `retired`, or a verb.
        model: Empty where it concerns none.
        actor: A person's name, `gate` or `controller`.
        text: One sentence.
        details: JSON.
    """

    id: str
    time_s: float
    kind: str
    model: str
    actor: str
    text: str
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LockRecord:
    """Who may apply a file, and until when."""

    owner: str
    expires_s: float


Record = RolloutRecord | CountsRecord | Retirement | UnloadedApplication | Event


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What is no longer kept, by kind (`counts`, `retirement`, `unloaded`) and key (window, release, name)."""

    kind: str
    key: str


@dataclass(frozen=True, slots=True)
class Saved:
    """All that was kept.

    Attributes:
        revision: Of the live table; the controller goes on above it.
        rollouts: Those under way, and the last one of each model.
    """

    revision: int = 0
    rollouts: tuple[RolloutRecord, ...] = ()
    counts: tuple[CountsRecord, ...] = ()
    retirements: tuple[Retirement, ...] = ()
    unloaded: tuple[UnloadedApplication, ...] = ()
