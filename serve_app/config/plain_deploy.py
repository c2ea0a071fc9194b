"""What may surprise at a change of traffic, as far as the file alone tells it."""

from __future__ import annotations

from collections.abc import Iterator

from serve_app.config.declared import ENV_VARS, HA_PROXY, HA_PROXY_WAIT, HTTP_CALLBACK, REQUEST_TIMEOUT, ServeFile
from serve_app.config.unknown_keys import Finding

SHORTEST_WAIT_S = 1.0  # a gateway's `user_config` is taken into use within it, on a busy machine too


def deploy_warnings(file: ServeFile) -> Iterator[Finding]:
    """Where traffic or its changes would be slow or unbounded, or `serve deploy` would ignore a model's rollout."""
    if file.has_ha_proxy and file.gateways and file.ha_proxy_wait_s < SHORTEST_WAIT_S:
        message = (
            "Serve takes a gateway out of HAProxy while its user_config changes, and requests go through a slow proxy "
            f'meanwhile; HAProxy hears nothing of it with {HA_PROXY_WAIT}: "2" beside this'
        )
        yield (*ENV_VARS, HA_PROXY), message
    if file.has_bypassed_timeout and file.gateways:
        message = f"has no effect on infer routes with {HTTP_CALLBACK}: limits.timeout_s of the gateway bounds them"
        yield REQUEST_TIMEOUT, message
    yield from _ignored_strategies(file)


def _ignored_strategies(file: ServeFile) -> Iterator[Finding]:
    for gateway in file.gateways:
        if gateway.traffic is None or gateway.entry is None:
            continue
        for name, model in gateway.traffic.models.items():
            if model.rollout is None or model.rollout.strategy == "all-at-once":
                continue
            split = ", ".join(f"{version} {weight:g}%" for version, weight in model.traffic.items())
            message = (
                f"`serve deploy` ignores strategy {model.rollout.strategy}: it moves the traffic of {name} to {split} "
                "at once and deletes versions that are not in the file, even those with traffic; `serve-app apply` "
                "does as it says"
            )
            yield (*gateway.entry.path, "user_config", "models", name, "rollout"), message
