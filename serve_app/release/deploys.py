"""The serve configs that a plan deploys: before traffic moves, after it moved, and where a version cannot be ready.

Serve deletes whatever a config does not name, so each of them names all that must stay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from serve_app.release.applications import Change, Running, step
from serve_app.release.control import ApplicationConfig
from serve_app.release.overview import Overview
from serve_app.release.plan import Plan
from serve_app.release.traffic_tables import (
    Entry,
    entries_in,
    gateway_name,
    read_entry,
    settled,
    table_in,
    table_of,
    with_table,
)
from serve_app.types import release_name

ServeConfig = Mapping[str, Any]
"""What Serve's REST API takes: a serve file as data."""


def is_deployed(config: ServeConfig, running: Running) -> bool:
    """Whether all that a config says runs already, so that deploying it would change nothing."""
    applications = {str(one.get("name", "default")): one for one in config["applications"]}
    if applications.keys() != running.kept.keys():
        return False
    name = gateway_name(running)
    if name is None or table_of(applications[name]) != table_of(running.kept[name]):
        return False
    steps = (step(running.applications[other], one, config) for other, one in applications.items())
    return all(one.change is Change.KEEP for one in steps)


def first_config(plan: Plan, running: Running) -> ServeConfig:
    """Old and new applications together, and a table by which nothing moves."""
    models = {model.model: model.first for model in plan.models if model.first is not None}
    default = plan.default_model if plan.default_model in models else plan.wanted.table.default_model
    return _config(plan, running, _table(models, default))


def last_config(plan: Plan, running: Running, held_back: Collection[str]) -> ServeConfig:
    """The file, and the applications that are retired later; models in `held_back` stay as they are declared now."""
    declared = _declared(running)
    models = {
        model.model: declared.get(model.model, model.last) if model.model in held_back else model.last
        for model in plan.models
        if model.last is not None
    }
    return _config(plan, running, _table(models, plan.wanted.table.default_model))


def fallback_config(plan: Plan, before: Running, overview: Overview) -> ServeConfig:
    """What ran before, without what this plan added or what had failed already.

    A model that was to move is declared as it is live, because what stood in for its old entry is gone.
    """
    gone = plan.retried | {one.name for one in plan.applications if one.change is Change.ADD}
    touched = {model.model for model in plan.models if model.first is not model.declared}
    models = dict[str, Entry]()
    for name, entry in _declared(before).items():
        state = overview.models.get(name)
        if state is None or (name not in touched and not _versions_in(gone, name, entry)):
            models[name] = entry
        elif state.rollout is None or state.rollout.phase.is_over:
            models[name] = settled(entry, state.live, _versions_in(gone, name, entry))
        else:
            models[name] = entry
    table = _table(models, plan.default_model)
    kept = [_replaced(config, plan.wanted.gateway, table) for name, config in before.kept.items() if name not in gone]
    return _under(plan.wanted.options, kept)


def without(running: Running, names: Collection[str], options: Mapping[str, Any]) -> ServeConfig:
    """What runs, without some applications."""
    return _under(options, (config for name, config in running.kept.items() if name not in names))


def redeclared(running: Running, model: str, overview: Overview) -> ServeConfig | None:
    """What runs, with one model declared as it is live; None if it is declared so already.

    Raises:
        InvalidTable: The table that is declared now cannot be read.
    """
    name, entries = gateway_name(running), _declared(running)
    if name is None or model not in entries or model not in overview.models:
        return None
    entry = settled(entries[model], overview.models[model].live)
    if read_entry(entry) == read_entry(entries[model]):
        return None
    table = {**table_in(running.kept[name]), "models": {**entries, model: entry}}
    return _under(running.options, (_replaced(config, name, table) for config in running.kept.values()))


def _under(options: Mapping[str, Any], applications: Iterable[ApplicationConfig]) -> ServeConfig:
    return {**options, "applications": [*applications]}


def _config(plan: Plan, running: Running, table: Mapping[str, Any]) -> ServeConfig:
    wanted = plan.wanted
    new = [_replaced(config, wanted.gateway, table) for config in wanted.applications.values()]
    old = [config for name, config in running.kept.items() if name not in wanted.applications]
    return _under(wanted.options, [*new, *old])


def _replaced(application: ApplicationConfig, gateway: str, table: Mapping[str, Any]) -> ApplicationConfig:
    return with_table(application, table) if application.get("name", "default") == gateway else application


def _declared(running: Running) -> Mapping[str, Entry]:
    name = gateway_name(running)
    return entries_in(table_in(running.kept[name])) if name is not None else {}


def _table(models: Mapping[str, Entry | None], default_model: str | None) -> dict[str, Any]:
    table: dict[str, Any] = {"models": models}
    return {"default_model": default_model, **table} if default_model is not None else table


def _versions_in(releases: Collection[str], model: str, entry: Entry) -> list[str]:
    """Versions of an entry whose releases are among these."""
    return [version for version in read_entry(entry).versions if release_name(model, version) in releases]
