"""What a gateway does with a model's requests: as its table declares it, or as the controller of releases says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from serve_app.config.gateway import ModelTraffic
from serve_app.release.messages import LiveModel, Shadow


@dataclass(frozen=True, slots=True)
class InEffect:
    """One model's traffic as it is now.

    Attributes:
        window: Name under which its requests are counted.
        traffic: Percent by version tag.
        labels: Version tag by label.
        shadows: Versions that are asked too.
        versions: Every version tag that is declared, live, or kept for a rollback.
        remembers: Whether somebody may tell later how good an answer was: an experiment, or a rollout under way.
        home: The window's name while no stage of a rollout gives another one.
    """

    window: str
    traffic: Mapping[str, float]
    labels: Mapping[str, str]
    shadows: tuple[Shadow, ...]
    versions: frozenset[str]
    remembers: bool
    home: str


def in_effect(model: str, declared: ModelTraffic, fingerprint: str, live: LiveModel | None) -> InEffect:
    """What holds for a model.

    Args:
        model: Its name.
        declared: Its entry in the gateway's table.
        fingerprint: `declared.fingerprint`, which takes a while.
        live: What the controller says; if it stands in for another entry, only what it keeps has an effect.
    """
    home, has_experiment = declared.window(model, fingerprint), declared.experiment is not None
    versions = declared.versions | set(live.kept if live is not None else ())
    if live is not None and live.base == fingerprint:
        versions |= {*live.traffic, *live.labels.values(), *(shadow.to for shadow in live.shadows)}
        remembers = has_experiment or bool(live.window)
        return InEffect(live.window or home, live.traffic, live.labels, live.shadows, versions, remembers, home)
    return InEffect(
        home,
        declared.traffic,
        declared.labels,
        Shadow.all_of(declared),
        versions,
        has_experiment,
        home,
    )
