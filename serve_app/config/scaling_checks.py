"""Autoscaling of releases: settings that could not take effect, or that would keep a release from ever coming back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from serve_app.config.declared import Application, DeploymentEntry, ServeFile
from serve_app.config.import_lookup import look_up
from serve_app.config.located import KeyPath, at
from serve_app.config.scaling import POLICY_PATH, ScalingArgs, is_row_aware
from serve_app.config.schema_findings import shown, validate
from serve_app.config.unknown_keys import Finding

USELESS = {
    "target_ongoing_requests": "it counts calls, each of many rows; set policy.policy_kwargs.target_utilisation",
    "aggregation_function": "it reduces Ray's own counts of calls",
    "upscaling_factor": "replicas come at once, as many as the rows need",
    "downscaling_factor": "replicas go once the rest can bear the load; set policy.policy_kwargs.target_utilisation",
    "smoothing_factor": "replicas come at once, as many as the rows need",
    "upscale_smoothing_factor": "replicas come at once, as many as the rows need",
    "downscale_smoothing_factor": "replicas go once the rest can bear the load",
}
"""Fields of Ray's `autoscaling_config` that have no place beside the row-aware policy, and why."""


def scaling_findings(data: Mapping[str, Any], file: ServeFile) -> Iterator[Finding]:
    """Yield what is wrong with the `autoscaling_config` of releases, and with our policy where it is none's."""
    for release in file.releases:
        for entry in release.application.deployments:
            config = at(data, (*entry.path, "autoscaling_config"))
            if isinstance(config, Mapping):
                yield from _release_findings(release.application, entry, config)
    for gateway in file.gateways:
        for entry in gateway.application.deployments:
            if is_row_aware(at(data, (*entry.path, *_FUNCTION))):
                yield (
                    (*entry.path, *_FUNCTION),
                    "it goes by what replicas of releases report; a gateway reports nothing",
                )


_FUNCTION: KeyPath = ("autoscaling_config", "policy", "policy_function")


def _release_findings(application: Application, entry: DeploymentEntry, config: Mapping[str, Any]) -> Iterator[Finding]:
    path: KeyPath = (*entry.path, "autoscaling_config")
    for key in ("min_replicas", "initial_replicas"):
        if config.get(key) == 0:
            yield (*path, key), "must be at least 1: a release without replicas gets no traffic that could wake it"
    if "downscale_to_zero_delay_s" in config:
        yield (*path, "downscale_to_zero_delay_s"), "has no effect: a release keeps at least one replica"
    least = config.get("min_replicas", 1)
    if entry.max_replicas == least:
        where = (*path, "max_replicas") if "max_replicas" in config else path
        yield where, f"min_replicas and max_replicas are both {least}: there is nothing to scale; use num_replicas"
    policy = config.get("policy", {})
    if not isinstance(policy, Mapping):
        yield (*path, "policy"), f"must be a mapping, not {shown(policy)}"
    elif is_row_aware(policy.get("policy_function")):
        yield from _our_findings(application, path, config)
    else:
        yield from _foreign_findings(application, (*path, "policy"), policy)


def _our_findings(application: Application, path: KeyPath, config: Mapping[str, Any]) -> Iterator[Finding]:
    for key, why in USELESS.items():
        if key in config:
            yield (*path, key), f"has no effect with {POLICY_PATH}: {why}"
    if application.data.get("autoscaling_policy") is not None:
        yield (*path, "policy"), "has no effect: the application's autoscaling_policy takes its place"
    kwargs = at(config, ("policy", "policy_kwargs"))
    if kwargs is not None:
        yield from validate(ScalingArgs, kwargs, (*path, "policy", "policy_kwargs"))[1]


def _foreign_findings(application: Application, path: KeyPath, policy: Mapping[str, Any]) -> Iterator[Finding]:
    function = policy.get("policy_function")
    if function is None:
        return
    if not isinstance(function, str):
        yield (*path, "policy_function"), f"must be a valid string, not {shown(function)}"
        return
    if application.data.get("runtime_env"):  # it may bring the module along
        return
    found = look_up(function)
    if found.fault:
        yield (*path, "policy_function"), found.fault
    if found.kind == "function" and policy.get("policy_kwargs"):
        yield (*path, "policy_kwargs"), f"has no effect: {function} is a function, and Ray gives them to classes only"
