"""Traffic tables as they stand in a gateway's `user_config`, and the entries that a rollout puts there on its way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from serve_app.config.declared import GATEWAY_DEPLOYMENT, GATEWAY_IMPORT_PATH
from serve_app.config.gateway import ModelTraffic, TrafficTable
from serve_app.errors import InvalidTable
from serve_app.release.applications import Running
from serve_app.release.control import ApplicationConfig
from serve_app.release.records import Routing

Entry = Mapping[str, Any]
"""One model of a table, as a file says it."""


def gateway_name(running: Running) -> str | None:
    """The name of the application that is the gateway, if there is one."""
    names = (name for name, config in running.kept.items() if config.get("import_path") == GATEWAY_IMPORT_PATH)
    return next(names, None)


def table_in(gateway: ApplicationConfig) -> Mapping[str, Any]:
    """The table that a gateway's application declares; empty if it has none."""
    for entry in gateway.get("deployments") or ():
        if entry.get("name") == GATEWAY_DEPLOYMENT and isinstance(entry.get("user_config"), Mapping):
            table: Mapping[str, Any] = entry["user_config"]
            return table
    return {}


def entries_in(table: Mapping[str, Any]) -> Mapping[str, Entry]:
    """A table's models."""
    models = table.get("models")
    return models if isinstance(models, Mapping) else {}


def with_table(gateway: ApplicationConfig, table: Mapping[str, Any]) -> ApplicationConfig:
    """The gateway's application with another table.

    Raises:
        InvalidTable: The table breaks its schema.
    """
    deployments = [
        {**entry, "user_config": table} if entry.get("name") == GATEWAY_DEPLOYMENT else entry
        for entry in gateway.get("deployments") or ()
    ]
    changed = {**gateway, "deployments": deployments}
    table_of(changed)
    return changed


def table_of(gateway: ApplicationConfig) -> TrafficTable:
    """The table that a gateway's application declares, as its schema reads it.

    Raises:
        InvalidTable: It breaks its schema.
    """
    try:
        return TrafficTable.model_validate(table_in(gateway))
    except ValidationError as error:
        raise InvalidTable(str(error.errors()[0]["msg"])) from None


def read_entry(entry: Entry) -> ModelTraffic:
    """The entry as its schema reads it.

    Raises:
        InvalidTable: It breaks its schema.
    """
    try:
        return ModelTraffic.model_validate(entry)
    except ValidationError as error:
        raise InvalidTable(str(error.errors()[0]["msg"])) from None


def routing_of(entry: ModelTraffic) -> Routing:
    """Who answers by an entry."""
    return Routing(entry.traffic, entry.labels)


def staged(declared: Entry, live: Routing, wanted: Entry) -> dict[str, Any]:
    """An entry by which nothing moves and gateways connect to all that `wanted` names.

    Live traffic and labels, versions of the declared and of the wanted entry at 0, and whom the wanted one assigns how
    (`sticky`), asks too (`shadow`) and compares; an experiment comes with its traffic.
    """
    old, new = read_entry(declared), read_entry(wanted)
    names = dict.fromkeys([*live.traffic, *live.labels.values(), *old.traffic, *sorted(new.versions)])
    entry = {
        **declared,
        **{key: wanted.get(key) for key in ("sticky", "shadow", "experiment")},
        "traffic": {name: live.traffic.get(name, 0) for name in names},
        "labels": dict(live.labels),
        "inline": {**(declared.get("inline") or {}), **(wanted.get("inline") or {})},
    }
    return _without_impossible(entry)


def settled(declared: Entry, live: Routing, gone: Iterable[str] = ()) -> dict[str, Any]:
    """The declared entry with the live traffic and labels; versions in `gone` that have neither are left out."""
    old = read_entry(declared)
    answering = [name for name, weight in live.traffic.items() if weight > 0]
    dropped = set(gone) - {*live.labels.values(), *answering}
    names = [name for name in dict.fromkeys([*old.traffic, *answering, *old.inline]) if name not in dropped]
    entry = {
        **declared,
        "traffic": {name: live.traffic.get(name, 0) for name in names},
        "labels": dict(live.labels),
        "shadow": [shadow for shadow in declared.get("shadow") or () if shadow.get("to") not in dropped],
        "inline": {v: release for v, release in (declared.get("inline") or {}).items() if v not in dropped},
    }
    return _without_impossible(entry)


def _without_impossible(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry without empty settings, and without an experiment whose versions have no traffic."""
    kept = {key: value for key, value in entry.items() if key in ("traffic",) or value not in (None, {}, [], ())}
    experiment = kept.get("experiment")
    if isinstance(experiment, Mapping):
        arms = {name for name, weight in kept["traffic"].items() if weight > 0}
        if len(arms) < 2 or experiment.get("control") not in arms:
            del kept["experiment"]
    return kept


def _weights(routing: Routing) -> dict[str, float]:
    return {name: float(weight) for name, weight in routing.traffic.items() if weight > 0}
