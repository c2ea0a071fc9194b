"""All rollouts: started, promoted and rolled back by people and gates; from them follows the live table.

A change that moves traffic forward is kept in the database before it takes effect, and waits while that is away. A
rollback takes effect at once and is kept as soon as it can be.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from serve_app.config.gateway import ModelTraffic
from serve_app.config.rollout import RolloutConfig
from serve_app.errors import CommandRefused, ControllerAway
from serve_app.release.commands import Promote, RollBack, StartRollout
from serve_app.release.events import Events
from serve_app.release.gates import SecondSamples
from serve_app.release.gateways import Gateways
from serve_app.release.journal import Journal
from serve_app.release.messages import LiveModel, Shadow
from serve_app.release.records import Phase, RolloutRecord, Routing
from serve_app.release.rollout import (
    Sight,
    advance,
    arms_of,
    config_of,
    kept_of,
    live_of,
    next_stage,
    not_ready,
    rolled_back,
    routing_of,
    stages_of,
    window_of,
)
from serve_app.release.seconds import Seconds
from serve_app.types import release_name

logger = logging.getLogger("serve_app.releases")

PATIENCE_S = 1.0  # for the database, with a step
SUPERSEDED_AFTER_S = 3.0  # how long all gateways must agree on another declared table before a rollout gives way to it
_HOLDS = frozenset(Phase) - {Phase.SUPERSEDED}
_NOWHERE = ""  # the base of a rollout that is over and whose declared entry is gone: it does not come back with that


class Rollouts:
    """The last rollout of each model.

    Args:
        gateways: What they reported.
        journal: Keeps records.
        events: Told about every change.
        clock: Seconds since 1970.

    Attributes:
        records: By model.
        live: What gateways should do instead of what they were declared, by model.
        revision: Grows whenever `live` changes.
        changed: Set at its next change; there is a new one for the one after.
    """

    def __init__(self, gateways: Gateways, journal: Journal, events: Events, clock: Callable[[], float]) -> None:
        self._gateways, self._journal, self._events, self._clock = gateways, journal, events, clock
        self.records: dict[str, RolloutRecord] = {}
        self.live: Mapping[str, LiveModel] = {}
        self.revision, self.changed = 0, asyncio.Event()
        self._seconds = Seconds()
        self._strangers: dict[str, float] = {}
        self._late: asyncio.Task[None] | None = None  # so that it is not collected
        self._restored: set[str] = set()
        self._answering: dict[str, tuple[Routing, tuple[object, ...]]] = {}

    def restore(self, records: Iterable[RolloutRecord], revision: int) -> None:
        """Go on with what was kept."""
        self.records = {record.model: record for record in records}
        self._restored = set(self.records)
        self.revision = revision + 1  # what was told last may not have been kept
        self._publish()

    def routing(self, model: str) -> Routing | None:
        """Who answers for a model now; None for one that no gateway serves."""
        record, entry, declared = self.records.get(model), self._entry(model), self._gateways.fingerprint(model)
        is_stale = declared != self._gateways.declared_fingerprint(model)  # the declared table is not known here yet
        is_known = record is not None and record.phase in _HOLDS and record.base != _NOWHERE
        if record is not None and is_known and (declared in (None, record.base) or is_stale):
            return routing_of(record)
        return Routing(dict(entry.traffic), dict(entry.labels)) if entry else None

    def wanted(self) -> set[str]:
        """Releases that have traffic, a label, or copies of requests, or are about to, or to get it back."""
        found: set[str] = set()
        declared = self._gateways.declared
        is_known = declared is not None and not self._gateways.wants_declared and bool(self._gateways.alive)
        for model in {*(() if is_known else self.records), *(declared.models if declared else ())}:
            routing, record, entry = self.routing(model), self.records.get(model), self._entry(model)
            versions = {shadow.to for shadow in entry.shadow} if entry else set()
            if routing is not None:
                versions |= {version for version, weight in routing.traffic.items() if weight > 0}
                versions |= set(routing.labels.values())
            if record is not None and not record.phase.is_over:
                versions |= {*arms_of(record).new, *record.before.labels.values()}
                versions |= {version for version, weight in record.before.traffic.items() if weight > 0}
            found |= {release_name(model, version) for version in versions}
        return found

    async def start(self, command: StartRollout) -> RolloutRecord:
        """Begin a rollout, unless the same one is under way or done.

        Raises:
            CommandRefused: No gateway serves the model, or another rollout of it is under way.
            ControllerAway: It cannot be kept.
        """
        model, after = command.model, Routing(dict(command.traffic), dict(command.labels))
        before, base = self.routing(model), self._gateways.fingerprint(model)
        if before is None or base is None:
            raise CommandRefused(
                f"no model {model!r} is in the traffic table of the gateways, or they do not agree yet"
            )
        last = self.records.get(model)
        if last is not None and not last.phase.is_over:
            if last.after.agrees_with(after):
                return last
            raise CommandRefused(f"{model} has a rollout under way ({last.after}); roll it back or wait for it")
        if last is not None and last.phase is Phase.SUCCEEDED and last.after == after and before.agrees_with(after):
            return last
        now_s = self._clock()
        record = RolloutRecord(
            id=f"{int(now_s * 1000):013d}-{secrets.token_hex(3)}",
            model=model,
            before=before,
            after=after,
            config=_config_for(command.rollout, before, after).model_dump(mode="json"),
            base=base,
            actor=command.actor,
            started_s=now_s,
        )
        text = f"{model} is to go from {before} to {after}, {command.rollout.strategy}"
        await self._forward(record, "rollout_started", command.actor, text)
        return self.records[model]

    async def promote(self, command: Promote) -> RolloutRecord:
        """End the stage that waits for a person; with force, whatever it waits for.

        Raises:
            CommandRefused: There is no rollout under way, or it waits for something else.
            ControllerAway: It cannot be kept.
        """
        record = self._under_way(command.model)
        if record.phase is not Phase.PAUSED and not command.force:
            raise CommandRefused(f"{command.model} does not wait for a person but: {record.reason or 'nothing yet'}")
        if record.phase is Phase.WAITING:
            raise CommandRefused(f"{command.model} cannot be promoted before it is ready: {record.reason}")
        missing = "" if command.force else not_ready(record, self._reasons(record))
        if missing:
            raise CommandRefused(f"{command.model} cannot be promoted without force: {missing}")
        new = next_stage(record, self._clock())
        await self._forward(new, *_told(new, command.actor))
        return self.records[command.model]

    def roll_back(self, command: RollBack, running: Collection[str] | None = None) -> RolloutRecord:
        """Give a model back what it had before its last rollout; in effect at the gateways' next report.

        Args:
            command: Whose, and why.
            running: Applications, so that a version can be told that no table names any more but is kept; None if the
                cluster does not say.

        Raises:
            CommandRefused: There is nothing to give back, what was there before is no longer ready, or the gateways do
                not agree on the declared table at this moment.
        """
        record = self.records.get(command.model)
        if record is None or record.phase in (Phase.FAILED, Phase.SUPERSEDED):
            raise CommandRefused(f"{command.model} has no rollout that could be rolled back")
        if record.phase is Phase.ROLLED_BACK:
            return record
        base = self._gateways.fingerprint(command.model)
        if record.phase is Phase.SUCCEEDED:
            if base is None:  # the record's own is of before its success: what holds for that may hold nowhere
                raise CommandRefused(
                    f"the gateways do not agree yet on what is declared for {command.model}, or none reports: ask again"
                )
            self._check_there_is_a_way_back(record, running)
        reason = command.reason or f"asked for by {command.actor or 'somebody'}"
        self._back(replace(rolled_back(record, self._clock(), reason), base=base or record.base), command.actor)
        return self.records[command.model]

    def _check_there_is_a_way_back(self, record: RolloutRecord, running: Collection[str] | None) -> None:
        """Raise `CommandRefused` if none of the versions from before can be called."""
        known, entry = self._gateways.known_versions(record.model), self._entry(record.model)
        versions = [version for version, weight in record.before.traffic.items() if weight > 0]
        reasons = dict(self._gateways.reasons(record.model, versions))
        for version in versions:
            is_inline = entry is not None and version in entry.inline
            if running is not None and not is_inline and release_name(record.model, version) not in running:
                reasons[version] = "no application runs it"  # what gateways say of it may be a second old
            elif version not in known:  # the table that was declared at the end does not name it
                reasons[version] = ""
        if all(reasons.values()):
            told = "; ".join(f"{version}: {reason}" for version, reason in reasons.items())
            raise CommandRefused(f"{record.model} cannot go back to {record.before}: {told}")

    async def look(self) -> None:
        """Have every rollout go on as far as it can."""
        now_s = self._clock()
        self._adopt()
        for model in list(self.records):
            try:
                await self._look_at(self.records[model], now_s)
            except Exception:  # Serve's and drivers' errors share no base; one model's fault must not stop the others
                logger.exception("could not look after the rollout of %s", model)
        for record in self.records.values():
            if window_of(record):
                self._journal.add(*self._gateways.changed_records(window_of(record)))
        self._publish()  # what is kept for a rollback ends with time
        self._notice_declared()

    async def _look_at(self, record: RolloutRecord, now_s: float) -> None:
        if record.phase.is_over:
            self._let_go(record, now_s)
            return
        new = self._superseded(record, now_s) or advance(record, self._sight(record, now_s))
        if new.phase in (Phase.ROLLED_BACK, Phase.SUPERSEDED, Phase.FAILED):
            self._back(new, "gate" if new.phase is Phase.ROLLED_BACK else "controller")
        elif (new.phase, new.step) != (record.phase, record.step):
            await self._step(record, new)
        elif new != record:
            self.records[record.model] = new
            self._journal.add(new)

    def _adopt(self) -> None:
        """Go on where a cluster was started anew from its file, whose table is what the rollout is for.

        What a gate rolled back stays so, and a canary goes on, instead of all traffic moving because of a restart.
        """
        for model in list(self._restored):
            record, entry, declared = self.records[model], self._entry(model), self._gateways.fingerprint(model)
            if entry is None or declared is None or entry.fingerprint != declared:
                continue  # not known yet
            self._restored.discard(model)
            is_for_it = record.after.agrees_with(Routing(entry.traffic, entry.labels))
            is_open = not record.phase.is_over or record.phase is Phase.ROLLED_BACK
            if record.base not in (declared, _NOWHERE) and is_for_it and is_open:
                self.records[model] = replace(record, base=declared)
                self._journal.add(self.records[model])
                self._publish()

    def _notice_declared(self) -> None:
        """Tell of traffic that no rollout moved: a table was declared, by `serve deploy` or a cluster's start."""
        for model in self._gateways.declared.models if self._gateways.declared else ():
            routing, record = self.routing(model), self.records.get(model)
            if routing is None:
                continue
            state = (record.id, record.phase, record.step) if record else ()
            before, its_state = self._answering.get(model, (routing, state))
            if state == its_state and not before.agrees_with(routing):
                text = f"{model} is answered by {routing}, as its traffic table was declared"
                self._events.happened(self._events.made("declared", model, "", text))
            self._answering[model] = (routing, state)

    def _sight(self, record: RolloutRecord, now_s: float) -> Sight:
        counts = self._gateways.counts(window_of(record))
        samples = SecondSamples.from_json(record.samples)
        if record.phase is not Phase.WAITING:
            self._seconds.add(samples, config_of(record), window_of(record), arms_of(record).counts(counts), now_s)
        return Sight(now_s, self._reasons(record), counts, samples)

    def _reasons(self, record: RolloutRecord) -> Mapping[str, str]:
        return self._gateways.reasons(record.model, {*record.after.traffic, *record.after.labels.values()})

    def _superseded(self, record: RolloutRecord, now_s: float) -> RolloutRecord | None:
        """The record's end if somebody declared another table meanwhile."""
        if not self._is_declared_away(record, now_s):
            return None
        reason = "another traffic table was declared meanwhile, and holds"
        return replace(record, phase=Phase.SUPERSEDED, reason=reason, ended_s=now_s)

    def _let_go(self, record: RolloutRecord, now_s: float) -> None:
        """Once another table is declared, that holds for good, also if the one from before is declared again."""
        if record.phase in _HOLDS and record.base != _NOWHERE and self._is_declared_away(record, now_s):
            self.records[record.model] = replace(record, base=_NOWHERE)
            self._journal.add(self.records[record.model])
            self._publish()

    def _is_declared_away(self, record: RolloutRecord, now_s: float) -> bool:
        """Whether all gateways have agreed for a while on another entry than the rollout's."""
        declared = self._gateways.fingerprint(record.model)
        if declared in (None, record.base):
            self._strangers.pop(record.model, None)
            return False
        since_s = min(now_s, self._strangers.get(record.model, now_s))  # the clock may have been set back
        self._strangers[record.model] = since_s
        if now_s - since_s < SUPERSEDED_AFTER_S:
            return False
        del self._strangers[record.model]
        return True

    async def _step(self, record: RolloutRecord, new: RolloutRecord) -> None:
        """Go on to the next stage, unless that cannot be kept now: then later."""
        why = "it does not answer" if self._journal.is_busy else await self._kept_in_time(new)
        if why and self.records[record.model] is record:  # else it was rolled back meanwhile
            self.records[record.model] = replace(record, reason=f"the next step waits for the database: {why}")

    async def _kept_in_time(self, new: RolloutRecord) -> str:
        """Why the next stage did not begin; empty if it did. Gates must not wait for a database that is silent."""
        forward = asyncio.get_running_loop().create_task(self._forward(new, *_told(new, "controller")))
        forward.add_done_callback(lambda task: task.cancelled() or task.exception())
        self._late = forward
        await asyncio.wait([forward], timeout=PATIENCE_S)
        if not forward.done():
            return "it does not answer"
        try:
            forward.result()
        except ControllerAway as error:
            return error.reason
        return ""

    async def _forward(self, record: RolloutRecord, kind: str, actor: str, text: str) -> None:
        event = self._events.made(kind, record.model, actor, text, {"rollout": record.id})
        before = self.records.get(record.model)
        if not await self._journal.keep(self.revision, record, event):
            raise ControllerAway(self._journal.fault)
        if self.records.get(record.model) is not before:  # it was rolled back meanwhile, which is kept after this
            return
        self.records[record.model] = record
        self._events.happened(event, is_kept=True)
        self._publish()

    def _back(self, record: RolloutRecord, actor: str) -> None:
        self.records[record.model] = record
        kind, actor, text = _told(record, actor)
        self._journal.add(record)
        self._events.happened(self._events.made(kind, record.model, actor, text, {"rollout": record.id}))
        self._publish()

    def _publish(self) -> None:
        """Make the live table anew."""
        now_s = self._clock()
        live = {
            model: live_of(record, self._declared_shadows(model), kept)
            for model, record in self.records.items()
            for kept in (kept_of(record, now_s),)
            if record.phase in _HOLDS and (record.base != _NOWHERE or kept)
        }
        if live != self.live:
            self.live = live
            self.revision += 1
            self.changed.set()
            self.changed = asyncio.Event()

    def is_under_way(self, model: str) -> bool:
        """Whether a rollout of the model is."""
        record = self.records.get(model)
        return record is not None and not record.phase.is_over

    def _under_way(self, model: str) -> RolloutRecord:
        record = self.records.get(model)
        if record is None or record.phase.is_over:
            raise CommandRefused(f"{model} has no rollout under way")
        return record

    def _entry(self, model: str) -> ModelTraffic | None:
        return self._gateways.declared.models.get(model) if self._gateways.declared else None

    def _declared_shadows(self, model: str) -> tuple[Shadow, ...]:
        entry = self._entry(model)
        return Shadow.all_of(entry) if entry else ()


def _config_for(config: RolloutConfig, before: Routing, after: Routing) -> RolloutConfig:
    """The settings, without stages where no version gets more than before: there is nobody to look at."""
    grows = any(weight > before.traffic.get(version, 0.0) for version, weight in after.traffic.items())
    if grows or config.strategy in ("all-at-once", "blue_green"):
        return config
    return RolloutConfig(strategy="blue_green", keep_for_s=config.keep_for_s, ready_timeout_s=config.ready_timeout_s)


def _told(record: RolloutRecord, actor: str) -> tuple[str, str, str]:
    """Kind, actor and sentence of the event that a record's new state is."""
    model, now = record.model, routing_of(record)
    if record.phase is Phase.SUCCEEDED:
        return "succeeded", actor, f"{model} is answered by {now}"
    if record.phase is Phase.ROLLED_BACK:
        return "rolled_back", actor, f"{model} is answered by {now} again: {record.reason}"
    if record.phase is Phase.RUNNING:
        stages = stages_of(config_of(record))
        return "step", actor, f"{model} is answered by {now}, step {record.step + 1} of {len(stages)}"
    return str(record.phase), actor, f"{model}: {record.reason}; it is answered by {now}"
