"""The one controller: what gateways report comes in, the table they should have goes out, and rollouts go their way.

What it knows is in memory and in the database. While it is away gateways keep their last table; what follows then is
in the records of rollouts, so another controller goes on from them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Protocol

from serve_app.config.rollout import RolloutConfig
from serve_app.errors import CommandRefused
from serve_app.observability.metrics import MetricSink
from serve_app.release.commands import Command, Keep, Lock, Promote, Retire, RollBack, StartRollout, Unlock, Verb
from serve_app.release.control import Applications, Document
from serve_app.release.events import MAX_SHOWN, Events
from serve_app.release.gateways import Gateways
from serve_app.release.journal import Journal, Store
from serve_app.release.messages import GatewayReport, LiveTable
from serve_app.release.records import LockRecord, Phase, RolloutRecord, Routing
from serve_app.release.retirements import Retirements
from serve_app.release.rollouts import Rollouts
from serve_app.release.status import experiment_document, rollout_document, status_document
from serve_app.release.unloaded import UnloadedApplications
from serve_app.release.verbs import Verbs

logger = logging.getLogger("serve_app.releases")

LOOK_S, RUNNING_S, KEEP_S = 0.5, 1.0, 1.0
APPLY = "apply"
KEPT_S, PRUNE_EVERY_S = 90 * 86400.0, 3600.0


class Deliveries(Protocol):
    """Tells events to others, as `webhooks.Webhooks` does."""

    async def deliver_due(self, now_s: float) -> int:
        """Begin what is due."""

    async def close(self) -> None:
        """Keep what became of attempts."""


class Controller:
    """Moves traffic between versions; implements `ReleaseControl`.

    Args:
        store: Where its state is kept.
        applications: Those of the cluster.
        metrics: Counts its events.
        webhooks: Tell its events.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        applications: Applications,
        metrics: MetricSink,
        webhooks: Deliveries | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._webhooks, self._clock = store, webhooks, clock
        self._pruned_s, self._applications = 0.0, applications
        self.journal = Journal(store)
        self.events = Events(self.journal, metrics, clock)
        self.gateways = Gateways(clock)
        self.rollouts = Rollouts(self.gateways, self.journal, self.events, clock)
        self.retirements = Retirements(applications, self.journal, self.events, clock)
        self._unloaded = UnloadedApplications(self.journal)
        self._verbs = Verbs(applications, self.rollouts.routing, self._move, self._unloaded)
        self.lock: LockRecord | None = None
        self._turn = asyncio.Lock()
        self._watch: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._doing: set[asyncio.Task[Document]] = set()

    async def start(self) -> None:
        """Go on where the last controller was, and begin to look every half second.

        Raises:
            ControllerAway: The database is.
        """
        saved = await self.journal.ask(self._store.load)
        for record in saved.counts:
            self.gateways.restore(record)
        self.rollouts.restore(saved.rollouts, saved.revision)
        self.retirements.restore(saved.retirements)
        self._unloaded.restore(saved.unloaded)
        self.events.restore(await self.journal.ask(self._store.events, MAX_SHOWN))
        self._watch = asyncio.get_running_loop().create_task(self._look_for_ever())

    async def close(self) -> None:
        """Stop looking, keep what can be kept, close the database."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        self.retirements.close()
        if self._keeping is not None:
            await asyncio.wait([self._keeping], timeout=KEEP_S)
        await self.journal.write(self.rollouts.revision)
        if self._webhooks is not None:
            await self._webhooks.close()
        await asyncio.to_thread(self._store.close)

    def check(self) -> None:
        """Raise if the controller no longer looks, so that whoever runs it starts another.

        Raises:
            RuntimeError: It does not.
        """
        if self._watch is not None and self._watch.done():
            raise RuntimeError(f"the controller stopped looking: {self._watch}")

    async def exchange(self, report: GatewayReport) -> LiveTable:
        """Take a gateway's report in, and tell it what should be in effect.

        A gateway that has all there is waits here for what comes, as long as it likes, so that a rollback is in effect
        at once.
        """
        self.gateways.heard(report)
        if report.revision == self.rollouts.revision and not self.gateways.wants_declared:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(report.patience_s):
                    await self.rollouts.changed.wait()
        feedback = self.gateways.feedback_for(report.gateway)
        return LiveTable(self.rollouts.revision, self.rollouts.live, feedback, self.gateways.wants_declared)

    async def command(self, command: Command) -> Document:
        """Do what a person or a program asks, to its end also if whoever asked no longer waits.

        Raises:
            CommandRefused: It cannot be done now.
            ControllerAway: The database is, and the command cannot do without.
        """
        doing = asyncio.get_running_loop().create_task(self._do(command))
        self._doing.add(doing)
        doing.add_done_callback(self._doing.discard)
        return await asyncio.shield(doing)

    async def _do(self, command: Command) -> Document:
        if isinstance(command, Lock):
            return await self._lock(command)
        if isinstance(command, Unlock):
            await self.journal.ask(self._store.release_lock, APPLY, command.owner)
            if self.lock is not None and self.lock.owner == command.owner:
                self.lock = None
            return {}
        if isinstance(command, Verb):
            return await self._verb(command)
        if isinstance(command, Retire | Keep):
            return await self._retire(command)
        if isinstance(command, RollBack) and self.rollouts.is_under_way(command.model):
            record = self.rollouts.roll_back(command)  # waits for nobody: a step may be waiting for the database
        else:
            async with self._turn:
                record = await self._rollout(command)
        await self._keep_soon()
        return rollout_document(record, self._clock())

    async def status(self) -> Document:
        """What people and programs see of releases."""
        return status_document(self, self._clock())

    async def experiment(self, name: str) -> Document:
        """An experiment's metrics by version.

        Raises:
            CommandRefused: There is none of that name.
        """
        return experiment_document(self.gateways, name)

    async def look(self) -> None:
        """Look once: every rollout may go on, what is due is deleted, and all that changed is kept."""
        async with self._turn:
            await self.rollouts.look()
            is_known = bool(self.gateways.alive) and not self.gateways.wants_declared  # who has traffic
            if is_known and self.held_lock() is None:
                await self.retirements.look(self.rollouts.wanted())
            self._keep_experiments()
        await self._keep_soon()

    async def _verb(self, command: Verb) -> Document:
        """Change applications, unless a file is being applied, which would undo it or be undone."""
        if (lock := self.held_lock()) is not None:
            raise CommandRefused(f"{command.verb} of {command.model} has to wait: {lock.owner} is applying a file")
        done = await self._verbs(command)
        text = f"{command.verb} of {command.model}: {done}"
        self.events.happened(self.events.made(command.verb, command.model, command.actor, text, done))
        await self.journal.write(self.rollouts.revision)
        return done

    def held_lock(self) -> LockRecord | None:
        """Who may apply a file now; None if nobody asked for it or the time is over."""
        return self.lock if self.lock is not None and self.lock.expires_s > self._clock() else None

    async def _move(self, model: str, routing: Routing, actor: str) -> None:
        """Give a model another routing at once, as a verb of another server asks."""
        config = RolloutConfig(strategy="all-at-once")
        start = StartRollout(model=model, traffic=routing.traffic, labels=routing.labels, rollout=config, actor=actor)
        async with self._turn:
            await self.rollouts.start(start)

    async def _rollout(self, command: StartRollout | Promote | RollBack) -> RolloutRecord:
        if isinstance(command, StartRollout):
            return await self.rollouts.start(command)
        if isinstance(command, Promote):
            return await self.rollouts.promote(command)
        last = self.rollouts.records.get(command.model)
        is_over = last is not None and last.phase is Phase.SUCCEEDED
        return self.rollouts.roll_back(command, await self._running() if is_over else None)

    async def _retire(self, command: Retire | Keep) -> Document:
        async with self._turn:
            if isinstance(command, Retire):
                self.retirements.add(command.releases, command.after_s, command.actor)
            else:
                self.retirements.keep(command.releases, command.actor)
        await self._keep_soon()
        return {}

    async def _keep_soon(self) -> None:
        """Have all that changed kept and told; a database that does not answer holds up nothing else for long."""
        if self._keeping is not None and not self._keeping.done():
            await asyncio.wait([self._keeping], timeout=KEEP_S)
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.get_running_loop().create_task(self._keep())
            await asyncio.wait([self._keeping], timeout=KEEP_S)

    async def _keep(self) -> None:
        try:
            await self.journal.write(self.rollouts.revision)
            if self._webhooks is not None:
                await self._webhooks.deliver_due(self._clock())
            await self._prune()
        except Exception:  # drivers' errors share no base, and nobody awaits this task; the next look tries again
            logger.exception("could not keep what changed")

    async def _running(self) -> frozenset[str] | None:
        """Names of the applications; None if the cluster does not say so at once: nobody waits for it here."""
        try:
            async with asyncio.timeout(RUNNING_S):
                return frozenset(await self._applications.running())
        except Exception as error:  # the cluster's errors have no common base
            logger.warning("the cluster does not say what runs: %r", error)
            return None

    async def _lock(self, command: Lock) -> Document:
        now_s = self._clock()
        self.lock = await self.journal.ask(self._store.acquire_lock, APPLY, command.owner, now_s, command.for_s)
        return {
            "acquired": self.lock.owner == command.owner,
            "owner": self.lock.owner,
            "expires_in_s": round(self.lock.expires_s - now_s, 1),
        }

    async def _prune(self) -> None:
        """Once an hour, forget what nobody asks for any more."""
        now_s = self._clock()
        if now_s - self._pruned_s < PRUNE_EVERY_S or self.journal.fault:
            return
        self._pruned_s = now_s
        await self.journal.ask(self._store.prune, now_s - KEPT_S)

    def _keep_experiments(self) -> None:
        for model, entry in (self.gateways.declared.models if self.gateways.declared else {}).items():
            if entry.experiment is not None:
                self.journal.add(*self.gateways.changed_records(entry.experiment.window(model)))

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except Exception:  # Serve's and drivers' errors share no base; ended by one, no gate would ever roll back
                logger.exception("could not look after the rollouts")
