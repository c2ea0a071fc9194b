"""What gateways and the controller tell each other, once a second, in one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from serve_app.config.gateway import ModelTraffic
from serve_app.release.counts import ArmCounts

MAX_REQUEST_ID, MAX_LABEL = 128, 128
"""Characters of a request's identity, as the gateway takes it from clients, and of a true label."""

Counts = Mapping[str, Mapping[str, ArmCounts]]
"""By window, then by version tag."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """A version that is asked too: `ShadowConfig` as the live table has it."""

    to: str
    percent: float = 100.0
    tolerance: float = 1e-3

    @classmethod
    def all_of(cls, declared: ModelTraffic) -> tuple[Shadow, ...]:
        """Those that a model's entry declares."""
        return tuple(cls(shadow.to, shadow.percent, shadow.tolerance) for shadow in declared.shadow)


@dataclass(frozen=True, slots=True)
class LiveModel:
    """What the controller wants for one model instead of what the gateway's `user_config` declares.

    Attributes:
        base: Fingerprint of the declared entry that it stands in for; for another entry it has no effect.
        window: Name under which requests are counted, a new one from zero; empty counts as without a rollout.
        traffic: Percent by version tag.
        labels: Version tag by label.
        shadows: Versions that are asked too.
        kept: Versions that are held ready for a rollback, whatever entry is declared.
    """

    base: str
    window: str
    traffic: Mapping[str, float]
    labels: Mapping[str, str] = field(default_factory=dict)
    shadows: tuple[Shadow, ...] = ()
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Feedback:
    """What became known later about an answer: its true label, or a number that says how good it was."""

    request_id: str
    label: str | None = None
    value: float | None = None


@dataclass(frozen=True, slots=True)
class LiveTable:
    """The controller's answer.

    Attributes:
        revision: Grows with every change.
        models: Those whose traffic is not as declared.
        feedback: Came in at other gateways, which did not know the request; whoever does counts it.
        wants_declared: Whether the next report should bring the whole declared table.
    """

    revision: int = 0
    models: Mapping[str, LiveModel] = field(default_factory=dict)
    feedback: tuple[Feedback, ...] = ()
    wants_declared: bool = False


@dataclass(frozen=True, slots=True)
class GatewayReport:
    """What a gateway replica tells the controller.

    Attributes:
        gateway: Identity of the replica, new after each start.
        revision: Of the live table in effect there.
        fingerprints: Of its declared entry, by model.
        declared: The declared table as JSON, if the controller asked for it.
        readiness: By model and version tag: why it cannot be called there; empty if it can.
        counts: Since the replica's start; windows that ended are told once more.
        feedback: For requests it does not know.
        patience_s: How long the answer may take while there is no news.
    """

    gateway: str
    revision: int
    fingerprints: Mapping[str, str]
    declared: Mapping[str, object] | None = None
    readiness: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    counts: Counts = field(default_factory=dict)
    feedback: tuple[Feedback, ...] = ()
    patience_s: float = 0.0
