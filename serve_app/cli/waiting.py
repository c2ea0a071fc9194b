"""The two waits of an apply: until new versions are ready everywhere, and until rollouts are over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from serve_app.cli.output import CommandError
from serve_app.cli.releases import Clock, Outage, Releases
from serve_app.cli.rollout_view import Board, rollout_key, rollout_lines
from serve_app.cli.serve_rest import ServeRest
from serve_app.release.applications import DEPLOY_FAILED, RUNNING, UNHEALTHY, Running
from serve_app.release.overview import Overview, RolloutState
from serve_app.release.records import Phase, Routing

POLL_S = 0.5
_FINAL = (DEPLOY_FAILED, UNHEALTHY)
"""The second for releases only: a gateway is UNHEALTHY for some seconds whenever its controller restarts."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """What must be ready.

    Attributes:
        application: The Serve application; empty for a version inside the gateway.
        model: Empty for an application that is no release of ours.
        version: As above.
        timeout_s: The longest wait, in seconds.
        is_new: Whether it was deployed for this, so that a failure of it is final.
    """

    application: str
    model: str = ""
    version: str = ""
    timeout_s: float = 300.0
    is_new: bool = True

    @property
    def name(self) -> str:
        """As people read it."""
        return self.application or f"{self.model} {self.version}"


class NotReady(CommandError):
    """Something cannot become ready; `str()` says what and why."""


@dataclass(slots=True)
class Watch:
    """Looks at the cluster and at the controller until what is waited for has come.

    Attributes:
        rest: Serve's REST API.
        releases: The controller.
        clock: Time.
        board: Where progress is shown.
        check: Called before each look; raises where the wait must end.
    """

    rest: ServeRest
    releases: Releases
    clock: Clock
    board: Board
    check: Callable[[], None]

    def until_ready(
        self, awaited: Sequence[Awaited], routings: Mapping[str, Routing | None], timeout_s: float = 300.0
    ) -> None:
        """Wait until all are ready and the gateways have the declared routings.

        Args:
            awaited: Each has its own longest wait.
            routings: By model; None for one that they no longer have.
            timeout_s: Longest wait for the routings once all that is awaited could be ready.

        Raises:
            NotReady: One of them failed, or took too long.
            CommandError: Nobody answers any more.
        """
        began, outage = self.clock.now(), Outage(self.clock)
        while True:
            self.check()
            reasons = self._looked(awaited, routings, outage)
            lines = {name: [f"{name}: {reason}"] for name, reason in reasons.items()}
            self.board.show(lines, reasons)
            if not reasons:
                return
            passed = self.clock.now() - began
            for one in awaited:
                if one.name in reasons and passed >= one.timeout_s:
                    raise NotReady(f"{one.name} is not ready after {one.timeout_s:g} s: {reasons[one.name]}")
            if passed >= max([timeout_s, *(one.timeout_s for one in awaited)]):
                name, reason = next(iter(reasons.items()))
                raise NotReady(f"{name}: {reason}, for {passed:.0f} s")
            self.clock.sleep(POLL_S)

    def until_running(self, names: Sequence[str], timeout_s: float) -> None:
        """Wait until applications run, whatever the gateway says.

        Raises:
            NotReady: One of them failed, or took too long.
            CommandError: The dashboard does not answer any more.
        """
        self._until(lambda running: dict(_unready(running, [Awaited(name) for name in names])), timeout_s)

    def until_gone(self, names: Sequence[str], timeout_s: float = 60.0) -> None:
        """Wait until applications are deleted.

        Raises:
            NotReady: One is still there.
            CommandError: The dashboard does not answer any more.
        """
        self._until(lambda running: {n: "is being deleted" for n in names if n in running.applications}, timeout_s)

    def until_answering(self, timeout_s: float) -> Overview:
        """The controller's status, once there is one.

        Raises:
            CommandError: It did not come in time.
        """
        outage = Outage(self.clock, timeout_s)
        return outage.repeated(self.releases.overview)

    def until_over(self, started: Mapping[str, RolloutState]) -> Mapping[str, RolloutState]:
        """The rollouts as they ended, by model, once every gateway acts by it.

        Raises:
            CommandError: Nobody answers any more.
        """
        latest, outage, is_in_effect = dict(started), Outage(self.clock), False
        while True:
            self.check()
            lines = {model: rollout_lines(model, rollout) for model, rollout in latest.items()}
            self.board.show(lines, {model: rollout_key(rollout) for model, rollout in latest.items()})
            if is_in_effect and all(rollout.phase.is_over for rollout in latest.values()):
                return latest
            self.clock.sleep(POLL_S)
            try:
                overview = self.releases.overview()
            except CommandError as error:
                outage.met(error)
            else:
                outage.passed()
                latest = {model: _latest(rollout, overview, model) for model, rollout in latest.items()}
                is_in_effect = all(gateway.revision >= overview.revision for gateway in overview.gateways)

    def _until(self, problems: Callable[[Running], Mapping[str, str]], timeout_s: float) -> None:
        began, outage = self.clock.now(), Outage(self.clock)
        while True:
            self.check()
            reasons = problems(outage.repeated(self.rest.running))
            self.board.show({name: [f"{name}: {reason}"] for name, reason in reasons.items()}, reasons)
            if not reasons:
                return
            if self.clock.now() - began >= timeout_s:
                name, reason = next(iter(reasons.items()))
                raise NotReady(f"{name} {reason}, for {timeout_s:g} s")
            self.clock.sleep(POLL_S)

    def _looked(
        self, awaited: Sequence[Awaited], routings: Mapping[str, Routing | None], outage: Outage
    ) -> Mapping[str, str]:
        """Why something is not ready, by name; empty if all is."""
        try:
            reasons = dict(_unready(self.rest.running(), awaited))
            overview = self.releases.overview()
        except CommandError as error:
            outage.met(error)
            return {"gateway": str(error)}
        outage.passed()
        for name, reason in _unconnected(overview, awaited):
            reasons.setdefault(name, reason)
        for model, routing in routings.items():
            state = overview.models.get(model)
            declared = state.declared.routing if state is not None else None
            is_same = declared.agrees_with(routing) if declared and routing else declared is routing
            if not is_same:
                reasons.setdefault(model, "its table has not reached the gateways")
        return reasons


def _unready(running: Running, awaited: Sequence[Awaited]) -> Iterator[tuple[str, str]]:
    """What Serve says about applications that do not run.

    Raises:
        NotReady: One of them failed.
    """
    for one in awaited:
        if not one.application:
            continue
        application = running.applications.get(one.application)
        if application is None:
            yield one.name, "not deployed yet"
        elif application.status != RUNNING:
            if one.is_new and application.status in (_FINAL if one.model else _FINAL[:1]):
                raise NotReady(f"{one.name} is {application.status}: {_short(application.message)}")
            yield one.name, f"{application.status}{f': {_short(application.message)}' if application.message else ''}"


def _unconnected(overview: Overview, awaited: Sequence[Awaited]) -> Iterator[tuple[str, str]]:
    """Versions that a gateway cannot call yet."""
    gateways = len(overview.gateways)
    for one in awaited:
        if not one.model:
            continue
        model = overview.models.get(one.model)
        state = model.versions.get(one.version) if model is not None else None
        if state is None:
            yield one.name, "no gateway knows it yet"
        elif not state.ready:
            yield one.name, state.reason or "not ready yet"
        elif state.gateways is not None and state.gateways < gateways:
            yield one.name, f"ready at {state.gateways} of {gateways} gateways"


def _latest(rollout: RolloutState, overview: Overview, model: str) -> RolloutState:
    """The same rollout as it is now; another in its place means that it was superseded."""
    state = overview.models.get(model)
    now = state.rollout if state is not None else None
    if now is None or rollout.phase.is_over or now.started_s < rollout.started_s:
        return rollout
    if now.id == rollout.id:
        return now
    return rollout.model_copy(update={"phase": Phase.SUPERSEDED, "reason": "another rollout took its place"})


def _short(message: str) -> str:
    """The end of Ray's message, where a traceback has its reason."""
    said = " ".join(message.split())
    return said if len(said) <= 400 else f"…{said[-400:]}"
