"""The applications of the cluster, as the controller of releases changes them from inside of a replica.

Serve's own declarative way is the only one used, for adding as for deleting: the whole configuration with a change in
it. What stays the same in it keeps its replicas, the gateway's included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ray.serve.context import _get_global_client
from ray.serve.schema import ServeApplicationSchema, ServeDeploySchema

from serve_app.release.control import ApplicationConfig

_GONE = "DELETING"


class ServeApplications:
    """`Applications` of the Serve instance that this process belongs to."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def running(self) -> Mapping[str, ApplicationConfig]:
        """The configuration of every application that was deployed from a file and is not being deleted."""
        return declared(await asyncio.to_thread(_details))

    async def deploy(self, applications: Sequence[ApplicationConfig]) -> None:
        """Add applications, or change those of the same names, and leave all others alone."""
        await self._change(lambda present: {**present, **{config["name"]: config for config in applications}})

    async def delete(self, names: Sequence[str]) -> None:
        """Delete applications; those that do not exist are gone already. Their replicas end in their own time."""
        gone = set(names)
        await self._change(lambda present: {name: config for name, config in present.items() if name not in gone})

    async def _change(self, change: Callable[[dict[str, ApplicationConfig]], dict[str, ApplicationConfig]]) -> None:
        async with self._turn:
            details = await asyncio.to_thread(_details)
            present = declared(details)
            wanted = change(present)
            if wanted != present:
                await asyncio.to_thread(_apply, wanted.values(), details.get("target_capacity"))


def declared(details: Mapping[str, Any]) -> dict[str, ApplicationConfig]:
    """The configurations in Serve's details, by name.

    An application that is being deleted is still told, with its configuration; to apply that would bring it back.
    """
    return {
        name: _plain(application["deployed_app_config"])
        for name, application in details["applications"].items()
        if application.get("deployed_app_config") and application["status"] != _GONE
    }


def _plain(config: Mapping[str, Any]) -> ApplicationConfig:
    """As JSON has it, with what was given and nothing else: this is kept in a database and applied again."""
    plain: ApplicationConfig = ServeApplicationSchema.model_validate(config).model_dump(mode="json", exclude_unset=True)
    return plain


def _details() -> dict[str, Any]:
    details: dict[str, Any] = _get_global_client().get_serve_details()
    return details


def _apply(applications: Iterable[ApplicationConfig], target_capacity: float | None) -> None:
    """Have Serve's controller take a configuration into use, as `serve deploy` does; it waits for nothing.

    Ports and other options of the whole are not in it: Serve reads them at its start only.
    """
    schema = ServeDeploySchema.model_validate({"applications": list(applications), "target_capacity": target_capacity})
    _get_global_client().deploy_apps(schema)
