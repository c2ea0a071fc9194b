"""What `serve deploy` of a file would do otherwise than the file's rollouts say, as far as the file alone tells it."""

from __future__ import annotations

from collections.abc import Iterator

from serve_app.config.declared import ServeFile
from serve_app.config.unknown_keys import Finding


def deploy_warnings(file: ServeFile) -> Iterator[Finding]:
    """Where traffic would move at once, without the strategy that the model's entry gives."""
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
