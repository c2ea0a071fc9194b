"""The half of validation that only Ray can do: its own schema, and unknown keys, which that schema drops in silence."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from pydantic import BaseModel, ValidationError
from ray.serve.config import AutoscalingConfig, GangSchedulingConfig, RequestRouterConfig
from ray.serve.schema import ServeApplicationSchema, ServeDeploySchema

from serve_app.config.located import KeyPath, at
from serve_app.config.schema_findings import error_findings, shown
from serve_app.config.unknown_keys import Finding, unknown_keys

# Ray takes these as `dict | schema` and reads the dict only at deploy time.
_LATE: dict[str, type[BaseModel]] = {
    "autoscaling_config": AutoscalingConfig,
    "request_router_config": RequestRouterConfig,
    "gang_scheduling_config": GangSchedulingConfig,
}
_IMPORTED = ("policy", "request_router_class")  # an operator's code: reading a serve file must not run it
_SINGLE_APPLICATION_KEYS = ("host", "port")
_SAID_WITH_LINES = ("Found multiple configs", "Found duplicate applications")  # by config.cross_checks


def ray_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what Ray finds wrong with a serve file's data, or would drop from it without a word.

    Applications are read one by one, because one that Ray's validators stumble over would hide all others; at the end
    the whole file is, if nothing was found.
    """
    findings = [*unknown_keys(ServeDeploySchema, data), *_schema_findings(ServeDeploySchema, _top(data), ())]
    for path, application in _mappings(data.get("applications"), ("applications",)):
        findings += _application_findings(path, application)
    applications = [application for _, application in _mappings(data.get("applications"), ("applications",))]
    yield from findings or _schema_findings(ServeDeploySchema, _top(data, *map(_without_misfits, applications)), ())


def _top(data: Mapping[str, Any], *applications: Mapping[str, Any]) -> Mapping[str, Any]:
    """The file with other applications, unless what it has there is no list."""
    return {**data, "applications": [*applications]} if isinstance(data.get("applications"), list) else data


def _application_findings(path: KeyPath, application: Mapping[str, Any]) -> Iterator[Finding]:
    for key in _SINGLE_APPLICATION_KEYS:
        if key in application:
            yield (*path, key), f"Ray takes it only at the top, as http_options.{key}"
    for entry_path, entry in _mappings(application.get("deployments"), (*path, "deployments")):
        yield from _late_findings(entry_path, entry)
    yield from _schema_findings(ServeApplicationSchema, _without_misfits(application), path)


def _late_findings(path: KeyPath, entry: Mapping[str, Any]) -> Iterator[Finding]:
    for key, schema in _LATE.items():
        value = entry.get(key)
        if isinstance(value, Mapping):
            yield from _schema_findings(schema, _without(value, *_IMPORTED), (*path, key))
        elif value is not None:
            yield (*path, key), f"must be a mapping, not {shown(value)}"
    where: KeyPath = ("request_router_config", "request_router_class")
    router_class = at(entry, where)
    if not isinstance(router_class, str | None):
        yield (*path, *where), f"must be a valid string, not {shown(router_class)}"


def _without_misfits(application: Mapping[str, Any]) -> dict[str, Any]:
    """The application without what Ray's validators stumble over before they say anything about the rest.

    Deployments that are no mappings (found by ours) have stand-ins, and gang scheduling has been checked apart. An
    autoscaling policy and a request router's class are left out because reading them would import them.
    """
    kept = dict(application)
    if isinstance(kept.get("deployments"), list):
        kept["deployments"] = [
            _without_late(item) if isinstance(item, Mapping) else {"name": "stand-in"} for item in kept["deployments"]
        ]
    return kept


def _without_late(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    late = {key: entry[key] for key in _LATE if isinstance(entry.get(key), Mapping)}
    kept = {key: _without(value, *_IMPORTED) for key, value in late.items()}
    return _without({**_without(entry, *_LATE), **kept}, "gang_scheduling_config")


def _without(data: Mapping[str, Any], *left_out: str) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in left_out}


def _schema_findings(schema: type[BaseModel], data: Mapping[str, Any], path: KeyPath) -> Iterator[Finding]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations are not faults
            schema.model_validate(deepcopy(data))  # Ray's validators write into what they are given
    except ValidationError as error:
        for where, message in error_findings(error, data, path):
            if not message.startswith(_SAID_WITH_LINES):
                yield where, message
    except Exception as error:  # Ray's validators let TypeError, AttributeError and NotImplementedError through
        yield path, f"Ray cannot read this: {error}"


def _mappings(items: object, path: KeyPath) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    """The mappings in a list, each with its path."""
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, Mapping):
            yield (*path, index), item
