"""Rollouts and readiness as lines of text: redrawn in place on a terminal, one line a change elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from serve_app.cli.output import printable
from serve_app.release.overview import ModelOverview, Overview, RolloutState, Verdict
from serve_app.release.records import Phase, Routing

_BAR = 24


class Board:
    """Lines about things that go on side by side; a context manager."""

    def __init__(self, console: Console, say: Callable[[str], None]) -> None:
        """Draw nothing yet.

        Args:
            console: Redrawn where it is a terminal.
            say: Takes a line where it is none.
        """
        self._say = say
        self._said: dict[str, str] = {}
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, lines: Mapping[str, Sequence[str]], keys: Mapping[str, str]) -> None:
        """Show what is known now.

        Args:
            lines: By subject, all that a terminal shows.
            keys: By subject, what tells a change from a mere update; without a terminal the lines are written when it
                is another than before.
        """
        if self._live is not None:
            self._live.start()  # not before there is something to draw: until then people may be asked
            self._live.update(drawn([line for group in lines.values() for line in group]), refresh=True)
            return
        for subject, key in keys.items():
            if self._said.get(subject) != key:
                self._said[subject] = key
                for line in lines.get(subject, ()):
                    self._say(line)


def drawn(lines: Sequence[str]) -> Group:
    """Lines as rich draws them, shown as they are."""
    return Group(*(Text(printable(line), no_wrap=True, overflow="ellipsis") for line in lines))


def rollout_lines(model: str, rollout: RolloutState) -> list[str]:
    """A rollout: where it stands, and under it each gate."""
    return [f"{model}  {_bar(rollout.percent)}  {headline(rollout)}", *(f"  {gate_line(v)}" for v in rollout.verdicts)]


def rollout_key(rollout: RolloutState) -> str:
    """The same for as long as nothing happens but counting."""
    gates = ",".join(f"{verdict.gate}={verdict.outcome}" for verdict in rollout.verdicts)
    return f"{rollout.id} {rollout.phase} {rollout.step} {rollout.percent:g} {gates}"


def headline(rollout: RolloutState) -> str:
    """A rollout in one line."""
    steps = f" step {rollout.step}/{rollout.steps}" if rollout.step and rollout.steps else ""
    where = f"{rollout.strategy}{steps} at {rollout.percent:g}%"
    if rollout.phase is Phase.PAUSED:
        said = "waits for `serve-app promote`"
    elif rollout.phase is Phase.RUNNING:
        said = f"for {rollout.seconds_in_step:.0f} s"
    elif rollout.phase is Phase.WAITING:
        said = "waits until the new version is ready"
    else:
        said = rollout.phase.value.replace("_", " ")
    return f"{where}, {said}{f': {rollout.reason}' if rollout.reason else ''}"


def gate_line(verdict: Verdict) -> str:
    """A gate's last word."""
    return f"{verdict.outcome or 'unknown':<8} {verdict.sentence or f'{verdict.gate} {verdict.bound}'.strip()}"


def routing_text(routing: Routing | None) -> str:
    """Who answers, in a few words."""
    if routing is None:
        return "-"
    traffic = " ".join(f"{version}:{weight:g}%" for version, weight in routing.traffic.items()) or "-"
    labels = " ".join(f"{label}={version}" for label, version in routing.labels.items())
    return f"{traffic}  {labels}".strip()


def version_rows(overview: Overview) -> Iterator[tuple[str, ...]]:
    """Every version of every model: declared and live percent, readiness, labels."""
    for name, model in overview.models.items():
        for version in dict.fromkeys([*model.versions, *model.traffic, *model.declared.traffic]):
            yield (name, version, *_version_cells(model, version))


def release_lines(overview: Overview) -> Iterator[str]:
    """What goes on: rollouts with their gates, shutdowns to come, the last events."""
    for name, model in overview.models.items():
        if model.rollout is not None:
            yield from rollout_lines(name, model.rollout)
    for line in overview.retirements:
        yield f"{line.release} is deleted in {line.in_s:.0f} s unless it has traffic then"
    if overview.events:
        yield "events"
    for event in overview.events:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.time_s))
        subject = " ".join(filter(None, (event.model, event.kind, f"({event.actor})" if event.actor else "")))
        yield f"  {when}  {subject}  {event.text}"


def missing_versions(overview: Overview) -> Iterator[str]:
    """A sentence for each version that traffic is meant for and that cannot take it."""
    for name, model in overview.models.items():
        for version in dict.fromkeys([*model.traffic, *model.declared.traffic]):
            weight = max(model.traffic.get(version, 0), model.declared.traffic.get(version, 0))
            state = model.versions.get(version)
            if weight > 0 and (state is None or not state.ready):
                reason = (state.reason if state else "") or "no gateway knows it"
                yield f"{name} {version} should get {weight:g}% and is not ready: {reason}"


def _version_cells(model: ModelOverview, version: str) -> tuple[str, ...]:
    state = model.versions.get(version)
    labels = ", ".join(label for label, to in model.labels.items() if to == version)
    declared, live = model.declared.traffic.get(version), model.traffic.get(version)
    is_ready = state is not None and state.ready
    return (
        "ready" if is_ready else "not ready",
        "-" if declared is None else f"{declared:g}%",
        "-" if live is None else f"{live:g}%",
        labels,
        "-" if state is None or not state.reason else state.reason,
    )


def _bar(percent: float) -> str:
    full = round(_BAR * max(0.0, min(100.0, percent)) / 100)
    return f"[{'#' * full}{'.' * (_BAR - full)}]"
