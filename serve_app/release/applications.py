"""Applications of a cluster and of a serve file, compared: what a deployment of the file would do to each.

Ray gives back what was deployed without the defaults, with numbers as its schema reads them, and with the file's
`logging_config` in every application, so both sides are brought into one form before they are compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from serve_app.config.declared import GATEWAY_DEPLOYMENT, GATEWAY_IMPORT_PATH
from serve_app.config.schema_findings import shown
from serve_app.release.control import ApplicationConfig

_DEFAULTS: Mapping[str, object] = {
    "name": "default",
    "route_prefix": "/",
    "runtime_env": {},
    "args": {},
    "logging_config": None,
    "autoscaling_policy": None,
    "external_scaler_enabled": False,
}
_REBUILDING = ("import_path", "args", "runtime_env")  # what Ray's code version of an application is made of
_RESTARTING = frozenset(
    {
        "ray_actor_options",
        "placement_group_bundles",
        "placement_group_strategy",
        "placement_group_bundle_label_selector",
        "max_replicas_per_node",
        "gang_scheduling_config",
        "deployment_actors",
    }
)
_SECRET = "env_vars"  # noqa: S105 - the name of what may hold some
_SECRETS = {_SECRET, "webhooks"}  # the path of a webhook's URL often is its key
_IN_URL = re.compile(r"(?<=://)[^/?#@\s]+(?=@)|(?<=password=)[^&\s]+")
_MOST_DIFFERENCES = 8

RUNNING, DELETING, DEPLOY_FAILED, UNHEALTHY = "RUNNING", "DELETING", "DEPLOY_FAILED", "UNHEALTHY"
"""Ray's words for the status of an application."""


@dataclass(frozen=True, slots=True)
class RunningApplication:
    """An application of the cluster.

    Attributes:
        name: Unique in the cluster.
        config: As it was deployed; None if a program deployed it, or it is being deleted.
        status: Ray's word, e.g. `RUNNING`, `DEPLOYING`, `DEPLOY_FAILED`.
        message: Ray's reason for it.
    """

    name: str
    config: ApplicationConfig | None
    status: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """What Serve runs.

    Attributes:
        applications: By name.
        options: The top of a serve file that would say the same: `http_options`, `grpc_options` and others.
    """

    applications: Mapping[str, RunningApplication] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def others(self) -> Mapping[str, ApplicationConfig]:
        """Those of `kept` that are no gateway and no release: somebody else's, or a file's that has its own."""
        ours = f"{GATEWAY_IMPORT_PATH.partition('.')[0]}."
        return {name: one for name, one in self.kept.items() if not str(one.get("import_path", "")).startswith(ours)}

    @property
    def kept(self) -> Mapping[str, ApplicationConfig]:
        """The configs of applications that a file deployed and nobody deletes: what a new config must name again."""
        return {
            name: application.config
            for name, application in self.applications.items()
            if application.config is not None and application.status != DELETING
        }


class Change(StrEnum):
    """What becomes of an application."""

    ADD = "added"
    KEEP = "unchanged"
    ADJUST = "changed in place"
    RESTART = "restarts its replicas"  # Ray replaces them one after the other, with the same code and model
    REPLACE = "built anew"  # other args, code or environment
    RETRY = "failed before, deployed again"
    RETIRE = "retired"


@dataclass(frozen=True, slots=True)
class ApplicationStep:
    """An application, what becomes of it, and what differs, one sentence each; `config` is that of what runs."""

    name: str
    change: Change
    differences: tuple[str, ...] = ()
    config: ApplicationConfig | None = None


def step(running: RunningApplication | None, wanted: ApplicationConfig, options: Mapping[str, Any]) -> ApplicationStep:
    """The same with the differences; the gateway's traffic table is left out of them."""
    name = str(wanted.get("name", _DEFAULTS["name"]))
    if running is None or running.status == DELETING:
        return ApplicationStep(name, Change.ADD)
    if running.config is None:
        return ApplicationStep(name, Change.REPLACE, ("was deployed by a program, not by a file",))
    logging = options.get("logging_config")
    before, after = canonical(running.config, logging), canonical(wanted, logging)
    differences = list(_differences(before, after, ""))
    if not differences:
        return ApplicationStep(name, Change.RETRY if running.status == DEPLOY_FAILED else Change.KEEP)
    said = tuple(differences[:_MOST_DIFFERENCES])
    if (more := len(differences) - len(said)) > 0:
        said = (*said, f"and {more} more")
    return ApplicationStep(name, _kind(before, after), said)


def canonical(application: ApplicationConfig, logging_config: object = None) -> dict[str, Any]:
    """The application in the form that is compared, without the gateway's table.

    Args:
        application: One item of `applications`, of a file or as Ray dumps it.
        logging_config: The file's, which Ray copies into applications that have none.
    """
    plain: dict[str, Any] = json.loads(json.dumps(application, default=str))
    given = [entry for entry in plain.pop("deployments", None) or [] if isinstance(entry, dict)]
    plain = {**_DEFAULTS, **plain}
    plain["logging_config"] = plain["logging_config"] or json.loads(json.dumps(logging_config, default=str))
    options = {str(entry.get("name")): {k: v for k, v in entry.items() if k != "name"} for entry in given}
    if GATEWAY_DEPLOYMENT in options:
        options[GATEWAY_DEPLOYMENT].pop("user_config", None)
    return {**plain, "deployments": {name: entry for name, entry in options.items() if entry}}


def _kind(before: Mapping[str, Any], after: Mapping[str, Any]) -> Change:
    if any(before.get(key) != after.get(key) for key in _REBUILDING):
        return Change.REPLACE
    names = {*before["deployments"], *after["deployments"]}
    pairs = [(before["deployments"].get(name, {}), after["deployments"].get(name, {})) for name in names]
    if any(old.get(key) != new.get(key) for old, new in pairs for key in _RESTARTING):
        return Change.RESTART
    return Change.ADJUST


def _differences(before: object, after: object, path: str) -> Iterator[str]:
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from _differences(before.get(key), after.get(key), f"{path}.{key}" if path else str(key))
    elif _is_long(before) and _is_long(after) and len(before) == len(after):  # type: ignore[arg-type]
        for index, (old, new) in enumerate(zip(before, after, strict=True)):  # type: ignore[call-overload]
            yield from _differences(old, new, f"{path}.{index}")
    elif _SECRETS & set(path.split(".")):
        yield f"{path} differs"
    else:
        yield f"{path}: {_shown(before)} -> {_shown(after)}"


def _is_long(value: object) -> bool:
    """Whether it is a list of mappings, whose items are compared one by one."""
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(v, Mapping) for v in value)


def _shown(value: object) -> str:
    return "not given" if value is None else shown(_without_secrets(value))


def _without_secrets(value: object) -> object:
    """The value without those of environments, webhooks and passwords in URLs, however deep they lie."""
    if isinstance(value, Mapping):
        return {key: _names_in(inner) if key in _SECRETS else _without_secrets(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(item) for item in value]
    return _IN_URL.sub("***", value) if isinstance(value, str) else value


def _names_in(secrets: object) -> object:
    return sorted(map(str, secrets)) if isinstance(secrets, Mapping) else "..."
