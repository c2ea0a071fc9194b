"""What applying a serve file would do, worked out from what runs and from nothing else, so that it can be done again.

A run that was killed leaves its traces in the cluster: applications that are there already, a table that names them at
0%, a rollout under way. The next run finds these and goes on with what is left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from serve_app.config.declared import ServeFile
from serve_app.config.gateway import ModelTraffic, TrafficTable
from serve_app.config.rollout import RolloutConfig
from serve_app.errors import CommandRefused
from serve_app.release.applications import ApplicationStep, Change, Running, step
from serve_app.release.control import ApplicationConfig
from serve_app.release.overview import ModelOverview, Overview
from serve_app.release.records import Phase, Routing
from serve_app.release.traffic_tables import (
    Entry,
    entries_in,
    gateway_name,
    read_entry,
    routing_of,
    staged,
    table_in,
)
from serve_app.types import release_name

AT_ONCE = RolloutConfig(strategy="all-at-once", keep_for_s=0)
"""How the traffic of a model without `rollout` moves."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a good serve file asks for.

    Attributes:
        options: The top of the file, without its applications.
        applications: By name, in the file's order.
        releases: The model that each of our release applications is a version of.
        gateway: The gateway application's name.
        table: Its traffic table.
    """

    options: Mapping[str, Any]
    applications: Mapping[str, ApplicationConfig]
    releases: Mapping[str, str]
    gateway: str
    table: TrafficTable

    @classmethod
    def of(cls, data: Mapping[str, Any], file: ServeFile) -> Wanted:
        """Of a file without faults and its data."""
        table = file.gateways[0].traffic
        assert table is not None  # noqa: S101 - the file has no faults
        return cls(
            options={key: value for key, value in data.items() if key != "applications"},
            applications={application.name: application.data for application in file.applications},
            releases={release.application.name: release.model for release in file.releases},
            gateway=file.gateways[0].application.name,
            table=table,
        )

    @property
    def entries(self) -> Mapping[str, Entry]:
        """The table's models as the file says them."""
        return entries_in(table_in(self.applications[self.gateway]))


@dataclass(frozen=True, slots=True)
class ModelStep:
    """What becomes of one model's traffic.

    Attributes:
        before: Who answers now; None for a model that is new.
        after: Who is to answer; None for a model that the file no longer has.
        config: How traffic moves.
        moves: Whether a rollout has to move it.
        declared: The entry that is declared now.
        first: The entry until its rollout has begun.
        last: The entry at the end; None removes it.
        awaited: Versions that must be ready before anything moves.
        notes: What the operator should know, one sentence each.
    """

    model: str
    before: Routing | None
    after: Routing | None
    config: RolloutConfig = AT_ONCE
    moves: bool = False
    declared: Entry | None = None
    first: Entry | None = None
    last: Entry | None = None
    awaited: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether anything about the model is declared anew."""
        if self.moves or self.declared is None or self.last is None:
            return True
        return read_entry(self.declared) != read_entry(self.last)


@dataclass(frozen=True, slots=True)
class Plan:
    """All of it.

    Attributes:
        wanted: What is asked for.
        applications: The file's, then those to retire.
        models: The file's, then those to remove.
        kept: Seconds left of applications that are retired already.
        default_model: What is declared now.
        notes: What the operator should know, one sentence each.
    """

    wanted: Wanted
    applications: tuple[ApplicationStep, ...]
    models: tuple[ModelStep, ...]
    kept: Mapping[str, float] = field(default_factory=dict)
    default_model: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether everything is as the file says."""
        return (
            all(one.change is Change.KEEP for one in self.applications)
            and not any(model.changes for model in self.models)
            and self.default_model == self.wanted.table.default_model
        )

    @property
    def moving(self) -> tuple[ModelStep, ...]:
        """Models whose traffic a rollout moves."""
        return tuple(model for model in self.models if model.moves)

    @property
    def refused(self) -> tuple[ApplicationStep, ...]:
        """Releases that would be another thing under the same version tag."""
        ours = self.wanted.releases
        return tuple(one for one in self.applications if one.change is Change.REPLACE and one.name in ours)

    @property
    def in_use(self) -> frozenset[str]:
        """Releases that answer requests, or have a label."""
        return frozenset(release for model in self.models for release in _releases_in_use(model))

    @property
    def retried(self) -> frozenset[str]:
        """Releases that failed and answer nobody, so that they may be deleted to be deployed again."""
        names = {one.name for one in self.applications if one.change is Change.RETRY}
        return frozenset(names & set(self.wanted.releases)) - self.in_use

    def does_as(self, other: Plan) -> bool:
        """Whether it would do the same; a rollout that both go on with may have come further meanwhile."""
        return self._doing == other._doing

    @property
    def _doing(self) -> object:
        models = [(one.model, one.after, one.moves, one.first, one.last) for one in self.models]
        return self.applications, models, self.default_model

    def keep_for_s(self, config: ApplicationConfig) -> float:
        """How long a retired application stays warm; 0 if its model has no rollout in the file."""
        args = config.get("args")
        model = self.wanted.table.models.get(str(args.get("model"))) if isinstance(args, Mapping) else None
        return model.rollout.keep_for_s if model is not None and model.rollout is not None else 0.0


def make_plan(wanted: Wanted, running: Running, overview: Overview) -> Plan:
    """The steps from what runs to what is wanted.

    Raises:
        CommandRefused: That is not the same gateway.
        InvalidTable: The table that is declared now cannot be read.
    """
    gateway = gateway_name(running)
    if gateway is None or gateway != wanted.gateway:
        raise CommandRefused(f"the gateway runs as application {gateway!r} and the file calls it {wanted.gateway!r}")
    table = table_in(running.kept[gateway])
    kept = {line.release: line.in_s for line in overview.retirements if line.release not in wanted.applications}
    return Plan(
        wanted=wanted,
        applications=tuple(_application_steps(wanted, running, kept)),
        models=tuple(_model_steps(wanted, entries_in(table), running, overview)),
        kept=kept,
        default_model=table.get("default_model"),
        notes=tuple(_cluster_notes(wanted, running)),
    )


def first_plan(wanted: Wanted, running: Running) -> Plan:
    """The steps where no gateway runs yet: the file is deployed as it is."""
    models = tuple(
        ModelStep(name, None, routing_of(model), model.rollout or AT_ONCE, last=wanted.entries[name])
        for name, model in wanted.table.models.items()
    )
    steps = tuple(_application_steps(wanted, running, {}))
    return Plan(wanted, steps, models, notes=tuple(_cluster_notes(wanted, running)))


def _application_steps(wanted: Wanted, running: Running, kept: Collection[str]) -> Iterator[ApplicationStep]:
    for name, config in wanted.applications.items():
        yield step(running.applications.get(name), config, wanted.options)
    for name, config in running.kept.items():
        if name not in {**wanted.applications, **running.others} and name not in kept:
            yield ApplicationStep(name, Change.RETIRE, config=config)


def _releases_in_use(model: ModelStep) -> Iterator[str]:
    if model.before is not None:
        versions = {version for version, weight in model.before.traffic.items() if weight > 0}
        for version in versions | set(model.before.labels.values()):
            yield release_name(model.model, version)


def _model_steps(
    wanted: Wanted, declared: Mapping[str, Entry], running: Running, overview: Overview
) -> Iterator[ModelStep]:
    for name, model in wanted.table.models.items():
        entry = wanted.entries[name]
        if name not in declared:
            awaited = tuple(version for version, weight in model.traffic.items() if weight > 0)
            yield ModelStep(
                name, None, routing_of(model), model.rollout or AT_ONCE, first=entry, last=entry, awaited=awaited
            )
        else:
            state = overview.models.get(name) or _as_declared(declared[name])
            yield _changed_model(name, declared[name], entry, state, running)
    for name, entry in declared.items():
        if name not in wanted.table.models:
            state = overview.models.get(name) or _as_declared(entry)
            yield ModelStep(name, state.live, None, declared=entry, first=entry)


def _as_declared(entry: Entry) -> ModelOverview:
    """What a controller that does not know the model yet would say of it."""
    model = read_entry(entry)
    return ModelOverview(traffic=model.traffic, labels=model.labels)


def _changed_model(name: str, declared: Entry, entry: Entry, state: ModelOverview, running: Running) -> ModelStep:
    model, live, rollout = read_entry(entry), state.live, state.rollout
    after = routing_of(model)
    under_way = rollout is not None and not rollout.phase.is_over
    is_resumed = under_way and rollout is not None and rollout.after.routing.agrees_with(after)
    moves = under_way or not live.agrees_with(after)
    first: Entry = declared
    if moves and not is_resumed:
        candidate = staged(declared, live, entry)
        if read_entry(candidate) != read_entry(declared):
            first = candidate
    return ModelStep(
        name,
        live,
        after,
        model.rollout or AT_ONCE,
        moves,
        declared,
        first,
        entry,
        awaited=tuple(_gaining(name, live, model, state, running)) if moves else (),
        notes=tuple(_model_notes(name, declared, model, state)) if moves else (),
    )


def _gaining(name: str, live: Routing, model: ModelTraffic, state: ModelOverview, running: Running) -> Iterator[str]:
    """Versions that get more to do, or were not there before."""
    for version in sorted(model.versions):
        more = model.traffic.get(version, 0) > live.traffic.get(version, 0)
        labelled = any(live.labels.get(label) != version for label, to in model.labels.items() if to == version)
        is_new = release_name(name, version) not in running.applications and version not in model.inline
        is_unknown = version not in state.versions
        if more or labelled or is_new or is_unknown:
            yield version


def _model_notes(name: str, declared: Entry, model: ModelTraffic, state: ModelOverview) -> Iterator[str]:
    rollout = state.rollout
    is_to_this = rollout is not None and rollout.after.routing.agrees_with(routing_of(model))
    if rollout is not None and rollout.phase is Phase.ROLLED_BACK and is_to_this:
        yield f"{name}: the last rollout to this was rolled back: {rollout.reason}"
    if rollout is not None and not rollout.phase.is_over:
        if is_to_this:
            yield f"{name}: the rollout to this is under way already ({rollout.phase}); this run goes on with it"
        else:
            yield f"{name}: another rollout is under way ({rollout.phase}), which this one supersedes"
    for version in sorted(set(declared.get("inline") or {}) - set(model.inline)):
        yield f"{name}: {version} runs inside the gateway, which forgets it at the end; it is not kept for a rollback"


def _cluster_notes(wanted: Wanted, running: Running) -> Iterator[str]:
    yield from _option_notes(wanted.options, running.options)
    for name in running.others:
        if name not in wanted.applications:
            yield f"{name}: not in the file, and neither a gateway nor a release, so left alone"


def _option_notes(wanted: Mapping[str, Any], running: Mapping[str, Any]) -> Iterator[str]:
    """What Serve takes at its start only."""
    for section in ("http_options", "grpc_options"):
        ours, theirs = wanted.get(section), running.get(section)
        if not isinstance(ours, Mapping) or not isinstance(theirs, Mapping):
            continue
        for key, value in ours.items():
            if key in theirs and theirs[key] != value:
                yield (
                    f"{section}.{key} stays {theirs[key]!r}: Serve takes {value!r} only once it is shut down and "
                    "started again"
                )
