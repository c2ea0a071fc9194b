"""One run of `serve-app apply`: deploy beside, wait, move the traffic, declare, retire.

Every step begins with what runs, so that a run which was killed anywhere is finished by another one. Until a version is
ready nothing moves: the first deployment declares the traffic as it is, with the new versions at 0%.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from serve_app.cli.output import CommandError
from serve_app.cli.plan_view import refusal
from serve_app.cli.releases import Outage, actor
from serve_app.cli.server import Refused
from serve_app.cli.waiting import Awaited, NotReady, Watch
from serve_app.release.applications import DEPLOY_FAILED, RUNNING, UNHEALTHY, Change, Running
from serve_app.release.commands import Keep, Retire, StartRollout
from serve_app.release.deploys import (
    ServeConfig,
    fallback_config,
    first_config,
    is_deployed,
    last_config,
    without,
)
from serve_app.release.overview import Overview, RolloutState
from serve_app.release.plan import ModelStep, Plan, Wanted, first_plan, make_plan
from serve_app.release.records import Phase
from serve_app.release.traffic_tables import entries_in, gateway_name, read_entry, routing_of, table_in
from serve_app.types import release_name

_DEFAULT_READY_S = 300.0
_SHOWN_S = 30.0  # until every gateway has the table of the end; nothing depends on it


@dataclass(slots=True)
class ApplyRun:
    """The steps of one run.

    Attributes:
        wanted: What the file asks for.
        watch: The cluster and the controller.
        say: Takes a line for the person who waits.
    """

    wanted: Wanted
    watch: Watch
    say: Callable[[str], None]

    def gateway_runs(self) -> bool:
        """Whether there is a gateway that can be asked; one that starts is waited for.

        Raises:
            CommandError: It should answer and does not.
        """
        running = self._running()
        name = gateway_name(running)
        if name is None:
            return False
        if running.applications[name].status not in (RUNNING, UNHEALTHY, DEPLOY_FAILED):
            self.say(f"waiting for {name}, which is {running.applications[name].status}")
            try:
                self.watch.until_running([name], _DEFAULT_READY_S)
            except NotReady:
                return self._overview() is not None
        elif running.applications[name].status == DEPLOY_FAILED:
            return self._overview() is not None
        self.watch.until_answering(_SHOWN_S)
        return True

    def plan(self) -> Plan:
        """What there is to do where a gateway runs."""
        return make_plan(self.wanted, self._running(), self.watch.until_answering(_SHOWN_S))

    def plan_first(self) -> Plan:
        """What there is to do where none does."""
        return first_plan(self.wanted, self._running())

    def keep_wanted(self) -> None:
        """Have the controller not delete what an earlier file no longer had and this one has again."""
        due = {line.release for line in self.watch.until_answering(_SHOWN_S).retirements}
        if again := tuple(sorted(due & set(self.wanted.applications))):
            self._send(Keep(releases=again, actor=actor()))
            self.say(f"{', '.join(again)}: in the file again, so kept")

    def confirm_unchanged(self) -> None:
        """Make sure that what the file says not only was deployed but runs.

        Raises:
            NotReady: An application cannot become ready.
        """
        self.watch.until_running(list(self.wanted.applications), _DEFAULT_READY_S)

    def deploy_first(self, plan: Plan) -> int:
        """Deploy the file where no gateway runs; gives the exit code.

        Raises:
            NotReady: Something failed, and was deleted again.
        """
        running = self._running()
        names = list(self.wanted.applications)
        self._delete(running, [one.name for one in plan.applications if one.change is Change.RETRY])
        applications = {**running.others, **self.wanted.applications}
        self._deploy({**self.wanted.options, "applications": [*applications.values()]})
        timeout_s = max((model.config.ready_timeout_s for model in plan.models), default=_DEFAULT_READY_S)
        try:
            self.watch.until_running(names, timeout_s)
        except NotReady:
            failed = [one.name for one in self._running().applications.values() if one.status == DEPLOY_FAILED]
            self._deploy(without(self._running(), failed, self.wanted.options))
            raise
        self.watch.until_answering(timeout_s)
        self.say(f"{len(names)} applications run")
        return 0

    def check(self, plan: Plan, replace: bool) -> None:
        """Refuse a plan by which the same version tags would be other things, unless they are to be replaced.

        Raises:
            CommandError: There is one.
        """
        if plan.refused and not replace:
            raise CommandError(refusal(plan))

    def carry_out(self, plan: Plan) -> int:
        """Do what a plan says; gives the exit code.

        Raises:
            CommandError: It cannot be done, or a server does not answer any more.
            NotReady: A version cannot be ready; what ran before runs on.
        """
        before = self._running()
        self._deploy_beside(plan, before)
        ended = self._move(plan)
        held_back = {model for model, rollout in ended.items() if rollout.phase is not Phase.SUCCEEDED}
        self._declare(plan, held_back)
        self._retire(plan, held_back)
        return 1 if held_back else 0

    def _deploy_beside(self, plan: Plan, before: Running) -> None:
        first = first_config(plan, before)
        if not is_deployed(first, before):
            self._delete(before, plan.retried)
            self._deploy(first)
        awaited = list(_awaited(plan))
        routings = {
            model.model: routing_of(read_entry(model.first))
            for model in plan.models
            if model.first is not None and (model.moves or model.declared is None)
        }
        try:
            self.watch.until_ready(awaited, routings)
        except NotReady:
            self._deploy(fallback_config(plan, before, self._overview() or Overview()))
            raise

    def _move(self, plan: Plan) -> Mapping[str, RolloutState]:
        """The rollouts as they ended, by model."""
        started = {model.model: self._start(model) for model in plan.moving}
        ended = self.watch.until_over(started)
        for model, rollout in ended.items():
            if rollout.phase is Phase.SUCCEEDED:
                self.say(f"{model}: {rollout.strategy} succeeded")
            else:
                phase = rollout.phase.value.replace("_", " ")
                self.say(f"{model}: {phase}: {rollout.reason or 'the controller gives no reason'}")
        return ended

    def _start(self, model: ModelStep) -> RolloutState:
        after = model.after
        assert after is not None  # noqa: S101 - what moves has somewhere to go
        command = StartRollout(
            model=model.model, traffic=after.traffic, labels=after.labels, rollout=model.config, actor=actor()
        )
        try:
            return Outage(self.watch.clock).repeated(lambda: self.watch.releases.start(command))
        except Refused as error:
            if error.status != 409:
                raise
            return RolloutState(phase=Phase.FAILED, model=model.model, reason=str(error))

    def _declare(self, plan: Plan, held_back: Collection[str]) -> None:
        running = self._running()
        last = last_config(plan, running, held_back)
        if is_deployed(last, running):
            return
        self._deploy(last)
        routings = {model.model: model.after for model in plan.models if model.model not in held_back}
        try:
            self.watch.until_ready((), routings, _SHOWN_S)
        except NotReady as error:
            self.say(f"the new table is declared, but {error}")

    def _retire(self, plan: Plan, held_back: Collection[str]) -> None:
        """Have the controller delete what the file no longer has and nobody falls back on."""
        running, overview = self._running(), self.watch.until_answering(_SHOWN_S)
        asked = {line.release for line in overview.retirements}
        needed = set(_named(running, held_back))
        by_wait = dict[float, list[str]]()
        for name, config in running.kept.items():
            if name not in {**self.wanted.applications, **running.others} and name not in asked | needed:
                by_wait.setdefault(plan.keep_for_s(config), []).append(name)
        for after_s, names in by_wait.items():
            command = Retire(releases=tuple(names), after_s=after_s, actor=actor())
            self._send(command)
            until = time.strftime("%H:%M:%S", time.localtime(time.time() + after_s))
            said = (
                f"kept for a rollback until {until} ({after_s:g} s)"
                if after_s
                else "deleted once what is under way there has ended"
            )
            self.say(f"{', '.join(names)}: {said}")

    def _send(self, command: Retire | Keep) -> None:
        Outage(self.watch.clock).repeated(lambda: self.watch.releases.send(command))

    def _delete(self, running: Running, names: Collection[str]) -> None:
        """Delete what failed, so that it can be deployed again."""
        if names:
            self._deploy(without(running, names, self.wanted.options))
            self.watch.until_gone(list(names))

    def _deploy(self, config: ServeConfig) -> None:
        self.watch.check()
        self.watch.rest.deploy(config)

    def _running(self) -> Running:
        return Outage(self.watch.clock, _SHOWN_S).repeated(self.watch.rest.running)

    def _overview(self) -> Overview | None:
        """The controller's status; None where the gateway itself is what failed."""
        try:
            return self.watch.releases.overview()
        except CommandError:
            return None


def _awaited(plan: Plan) -> Iterator[Awaited]:
    """What must be ready before traffic moves: what is deployed anew, and versions that get more to do."""
    deployed = {one.name: one.change for one in plan.applications if one.change not in (Change.KEEP, Change.RETIRE)}
    of_versions = set[str]()
    for model in plan.models:
        for version in model.awaited:
            release = release_name(model.model, version)
            of_versions.add(release)
            is_inline = release not in plan.wanted.applications
            is_new = deployed.get(release) is not None
            name = "" if is_inline else release
            yield Awaited(name, model.model, version, model.config.ready_timeout_s, is_new)
    for name in deployed:
        if name not in of_versions:
            yield Awaited(name)


def _named(running: Running, models: Collection[str]) -> Iterator[str]:
    """Releases that the declared entries of some models name."""
    name = gateway_name(running)
    for model, entry in entries_in(table_in(running.kept[name])).items() if name is not None else ():
        if model in models:
            for version in read_entry(entry).versions:
                yield release_name(model, version)
