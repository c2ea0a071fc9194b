"""What releases have executed, asked of all their replicas."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from serve_app.data_plane.directory import Directory
from serve_app.data_plane.route import Route
from serve_app.errors import ModelNotReady
from serve_app.types import ReleaseInfo, ReleaseStatistics

logger = logging.getLogger("serve_app.data_plane")

TIMEOUT_S = 5.0  # a replica that is given another user_config is away for about one

Counted = tuple[ReleaseInfo, ReleaseStatistics]


async def statistics_of(directory: Directory, model: str = "", version: str = "") -> list[Counted]:
    """The figures of one version, of all ready versions of a model, or of all models.

    Args:
        directory: Knows the way to the releases.
        model: A served model; empty for all.
        version: A version tag or label; empty for all that are ready.

    Raises:
        ModelNotFound: There is no such model.
        VersionNotFound: The model has no such version or label.
        ModelNotReady: The version is not ready, or the replicas of one do not answer in time.
    """
    if version:
        return [await _ask(directory.resolve(model, version, 0.0))]
    routes = [route for name in ((model,) if model else directory.models) for route in _ready(directory, name)]
    return list(await asyncio.gather(*map(_ask, routes)))


def _ready(directory: Directory, model: str) -> list[Route]:
    routes = list[Route]()
    for status in directory.versions(model):
        with contextlib.suppress(ModelNotReady):
            routes.append(directory.resolve(model, status.version, 0.0))
    return routes


async def _ask(route: Route) -> Counted:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return route.info, await route.client.statistics()
    except Exception as error:  # Ray's errors have no common base
        logger.warning("%s does not tell its statistics: %r", route.info.release, error)
        reason = "its replicas do not tell what they have executed"
        raise ModelNotReady(route.info.model, route.info.version, reason) from None
