"""The serve configs that a plan deploys: before traffic moves, after it moved, and where a version cannot be ready.

Serve deletes whatever a config does not name, so each of them names all that must stay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from serve_app.release.applications import DELETING, Change, Running
from serve_app.release.control import ApplicationConfig
from serve_app.release.overview import Overview
from serve_app.release.plan import Plan
from serve_app.release.tables import Entry, entries_in, gateway_name, read_entry, settled, table_in, with_table

ServeConfig = Mapping[str, Any]
"""What Serve's REST API takes: a serve file as data."""


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
    retried = {one.name for one in plan.applications if one.change is Change.RETRY}
    kept = [name for name in _alive(before) if name not in retried]
    gone = {one.name for one in plan.applications if one.change in (Change.ADD, Change.RETRY)}
    touched = {model.model for model in plan.models if model.first is not model.declared}
    models = dict[str, Entry]()
    for name, entry in _declared(before).items():
        state = overview.models.get(name)
        if state is None or (name not in touched and not _names(name, entry, gone)):
            models[name] = entry
        elif state.rollout is None or state.rollout.phase.is_over:
            versions = [version for version in read_entry(entry).versions if f"{name}-{version}" in gone]
            models[name] = settled(entry, state.live, versions)
        else:
            models[name] = entry
    applications = [before.applications[name].config or {} for name in kept]
    table = _table(models, plan.default_model)
    return config_of(before, (_replaced(one, plan.wanted.gateway, table) for one in applications), plan.wanted.options)


def without(running: Running, names: Collection[str], options: Mapping[str, Any]) -> ServeConfig:
    """What runs, without some applications."""
    kept = (running.applications[name].config or {} for name in _alive(running) if name not in names)
    return config_of(running, kept, options)


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
    table = {**table_in(running.applications[name].config or {}), "models": {**entries, model: entry}}
    kept = (running.applications[other].config or {} for other in _alive(running))
    return config_of(running, (_replaced(one, name, table) for one in kept), {})


def config_of(
    running: Running, applications: Iterable[ApplicationConfig], options: Mapping[str, Any]
) -> ServeConfig:
    """Applications under the top of a serve file, or where that is not known, under what Serve was started with."""
    return {**running.options, **options, "applications": [*applications]}


def _config(plan: Plan, running: Running, table: Mapping[str, Any]) -> ServeConfig:
    wanted = plan.wanted
    new = [_replaced(config, wanted.gateway, table) for config in wanted.applications.values()]
    old = [running.applications[name].config or {} for name in _alive(running) if name not in wanted.applications]
    return config_of(running, [*new, *old], wanted.options)


def _replaced(application: ApplicationConfig, gateway: str, table: Mapping[str, Any]) -> ApplicationConfig:
    return with_table(application, table) if application.get("name") == gateway else application


def _alive(running: Running) -> list[str]:
    """Applications that a file deployed and nobody deletes."""
    return [
        name
        for name, application in running.applications.items()
        if application.config is not None and application.status != DELETING
    ]


def _declared(running: Running) -> Mapping[str, Entry]:
    name = gateway_name(running)
    return entries_in(table_in(running.applications[name].config or {})) if name is not None else {}


def _table(models: Mapping[str, Entry | None], default_model: str | None) -> dict[str, Any]:
    table: dict[str, Any] = {"models": models}
    return {"default_model": default_model, **table} if default_model is not None else table


def _names(model: str, entry: Entry, gone: Collection[str]) -> bool:
    return any(f"{model}-{version}" in gone for version in read_entry(entry).versions)
