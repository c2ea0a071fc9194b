"""One rollout as a state machine without a clock: what is seen of the gateways in, the next state out.

A rollout waits until its versions are ready at every gateway, then goes through its stages; a gate that fails gives the
traffic back at once, whatever the stage. What gateways should do follows from the record alone (`live_of`), so a
controller that was killed goes on where the record says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from serve_app.config.rollout import RolloutConfig
from serve_app.release.counts import ArmCounts
from serve_app.release.gates import Outcome, SecondSamples, Verdict, judge
from serve_app.release.messages import LiveModel, Shadow
from serve_app.release.records import Phase, RolloutRecord, Routing


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a rollout that is held for a time and until the gates have their samples.

    Attributes:
        percent: How much of the way from the old routing to the new one.
        seconds: Least time.
        shadow_percent: Of the old versions' requests that the new ones are asked too; 0 asks them nothing.
    """

    percent: float
    seconds: float
    shadow_percent: float = 0.0


@dataclass(frozen=True, slots=True)
class Sight:
    """What the controller sees when it looks.

    Attributes:
        now_s: Seconds since 1970.
        reasons: Why versions cannot be called, by version tag; those that can be everywhere are empty.
        counts: Of the rollout's window, by version tag, over all gateways.
        samples: Of gates with expressions, in the present stage.
    """

    now_s: float
    reasons: Mapping[str, str]
    counts: Mapping[str, ArmCounts] = field(default_factory=dict)
    samples: SecondSamples = field(default_factory=SecondSamples)


@dataclass(frozen=True, slots=True)
class Arms:
    """The two sides of a rollout: versions whose share falls, and those whose share grows."""

    stable: tuple[str, ...]
    new: tuple[str, ...]

    def counts(self, by_version: Mapping[str, ArmCounts]) -> tuple[ArmCounts, ArmCounts]:
        """What became of the requests of both sides."""
        sides = [ArmCounts(), ArmCounts()]
        for side, versions in enumerate((self.stable, self.new)):
            for version in versions:
                sides[side] = sides[side] + by_version.get(version, ArmCounts())
        return sides[0], sides[1]


def config_of(record: RolloutRecord) -> RolloutConfig:
    """The rollout's settings."""
    return RolloutConfig.model_validate(record.config)


def stages_of(config: RolloutConfig) -> tuple[Stage, ...]:
    """What lies between readiness and the end; nothing for a strategy that moves all traffic at once."""
    copies = config.shadow_percent if config.compares else 0.0
    if config.strategy == "canary":
        return tuple(Stage(step.percent, step.seconds, copies) for step in config.steps)
    if config.strategy == "shadow":
        return (Stage(0.0, config.shadow_seconds, copies),)
    return ()


def arms_of(record: RolloutRecord) -> Arms:
    """Who is compared with whom."""
    before, after = record.before.traffic, record.after.traffic
    new = tuple(version for version, weight in after.items() if weight > before.get(version, 0.0))
    stable = tuple(version for version, weight in before.items() if weight > 0 and version not in new)
    return Arms(stable, new)


def routing_of(record: RolloutRecord) -> Routing:
    """Who answers in the record's present state."""
    if record.phase is Phase.SUCCEEDED:
        return record.after
    if record.phase is Phase.WAITING:  # gateways look only for versions that are named
        named = {version: 0.0 for version in (*record.after.traffic, *record.after.labels.values())}
        return Routing({**named, **record.before.traffic}, record.before.labels)
    if record.phase not in (Phase.RUNNING, Phase.PAUSED):
        return record.before
    share = stages_of(config_of(record))[record.step].percent / 100
    before, after = record.before.traffic, record.after.traffic
    traffic = {
        version: round(before.get(version, 0.0) * (1 - share) + after.get(version, 0.0) * share, 6)
        for version in (*before, *(version for version in after if version not in before))
    }
    return Routing(traffic, record.before.labels)


def window_of(record: RolloutRecord) -> str:
    """The name under which gateways count in the present stage; empty where they count as without a rollout."""
    return f"{record.model}:{record.id}:{record.step}" if record.phase in (Phase.RUNNING, Phase.PAUSED) else ""


def kept_of(record: RolloutRecord, now_s: float) -> tuple[str, ...]:
    """Versions that the rollout took all traffic from and a rollback would give it back to, while they are kept."""
    if record.phase is not Phase.SUCCEEDED or now_s >= record.ended_s + config_of(record).keep_for_s:
        return ()
    before = {version for version, weight in record.before.traffic.items() if weight > 0}
    return tuple(sorted({*before, *record.before.labels.values()}))


def live_of(record: RolloutRecord, shadows: tuple[Shadow, ...], kept: tuple[str, ...] = ()) -> LiveModel:
    """What gateways should do.

    Args:
        record: The rollout.
        shadows: Those that the traffic table declares; the rollout's own join them.
        kept: Versions that must be held ready for a rollback.
    """
    routing = routing_of(record)
    if record.phase in (Phase.RUNNING, Phase.PAUSED):
        percent = stages_of(config_of(record))[record.step].shadow_percent
        new = arms_of(record).new if percent else ()
        shadows = (*(s for s in shadows if s.to not in new), *(Shadow(version, percent) for version in new))
    return LiveModel(record.base, window_of(record), dict(routing.traffic), dict(routing.labels), shadows, kept)


def advance(record: RolloutRecord, sight: Sight) -> RolloutRecord:
    """The next state; the same record where there is nothing new to say."""
    if record.phase is Phase.WAITING:
        return _when_ready(record, sight)
    if record.phase.is_over:
        return record
    config, arms = config_of(record), arms_of(record)
    stable, new = arms.counts(sight.counts)
    names = ("+".join(arms.stable) or "nothing", "+".join(arms.new) or "nothing")
    verdicts = judge(config, stable, new, sight.samples, names)
    told = replace(
        record,
        verdicts=tuple(verdict.to_json() for verdict in verdicts),
        samples=sight.samples.to_json(),
        reason=_waits_for(record, config, verdicts, sight),
    )
    failed = [verdict for verdict in verdicts if verdict.outcome is Outcome.FAILED]
    if failed:
        return rolled_back(told, sight.now_s, "; ".join(verdict.sentence for verdict in failed))
    if told.reason or record.phase is Phase.PAUSED:
        return told
    if not config.automatic:
        return replace(told, phase=Phase.PAUSED, reason="waits for a person: `serve-app promote`")
    return next_stage(told, sight.now_s)


def next_stage(record: RolloutRecord, now_s: float) -> RolloutRecord:
    """The record one stage further: from waiting to the first one, behind the last one to the end."""
    step = 0 if record.phase is Phase.WAITING else record.step + 1
    empty = replace(record, verdicts=(), samples={}, reason="", step_began_s=now_s)
    if step < len(stages_of(config_of(record))):
        return replace(empty, phase=Phase.RUNNING, step=step)
    return replace(empty, phase=Phase.SUCCEEDED, ended_s=now_s, verdicts=record.verdicts)


def rolled_back(record: RolloutRecord, now_s: float, reason: str) -> RolloutRecord:
    """The record with the traffic where it was before."""
    return replace(record, phase=Phase.ROLLED_BACK, reason=reason, ended_s=now_s)


def _when_ready(record: RolloutRecord, sight: Sight) -> RolloutRecord:
    config, reasons = config_of(record), not_ready(record, sight.reasons)
    if not reasons:
        return next_stage(record, sight.now_s)
    if sight.now_s - record.started_s > config.ready_timeout_s:
        reason = f"not ready within {config.ready_timeout_s:g} s - {reasons}"
        return replace(record, phase=Phase.FAILED, reason=reason, ended_s=sight.now_s)
    return replace(record, reason=reasons)


def not_ready(record: RolloutRecord, reasons: Mapping[str, str]) -> str:
    """Why not everything that a rollout is for can be called; empty if it can.

    Args:
        record: The rollout.
        reasons: As of `Sight`.
    """
    wanted = [version for version, weight in record.after.traffic.items() if weight > 0]
    wanted += [version for version in record.after.labels.values() if version not in wanted]
    missing = {version: reasons.get(version, "no gateway knows it") for version in wanted}
    return "; ".join(f"{version}: {reason}" for version, reason in missing.items() if reason)


def _waits_for(record: RolloutRecord, config: RolloutConfig, verdicts: tuple[Verdict, ...], sight: Sight) -> str:
    """What keeps the stage from being over; empty if nothing does."""
    if record.phase is Phase.PAUSED:
        return record.reason
    left_s = record.step_began_s + stages_of(config)[record.step].seconds - sight.now_s
    waits = [f"{left_s:.0f} s of this step are left"] if left_s > 0 else []
    waits += [verdict.sentence for verdict in verdicts if verdict.outcome is Outcome.WAITING]
    waits += filter(None, [not_ready(record, sight.reasons)])  # what died since must not get more, or be the only one
    return "; ".join(waits)
