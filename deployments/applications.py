"""The applications of the cluster, as the controller of releases changes them from inside of a replica.

Serve's declarative way is used for adding and for deleting: the whole configuration with the change in it, as `serve
deploy` sends it. Observed with Ray 2.60:

- Whatever stays the same keeps its processes, the gateway's and the controller's own included; another number of
  replicas starts or ends only the difference. A file that is deployed later works as always, and takes all of it back.
- `serve.delete` deletes as well, but leaves the application in the configuration that Serve keeps, and Serve's
  controller deploys that again when it restarts; what was deleted here stays deleted.
- An application that is still being deleted can be deployed again; that takes as long as its start.

Whoever deploys a file at the same moment wins or loses as a whole, so both take the controller's lock first.
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
    """`Applications` of the Serve instance that this process belongs to.

    Args:
        client: Gives Serve's own client, whose calls block; it knows the deployed configuration.
    """

    def __init__(self, client: Callable[[], Any] = _get_global_client) -> None:
        self._client, self._turn = client, asyncio.Lock()

    async def running(self) -> Mapping[str, ApplicationConfig]:
        """The configuration of every application that was deployed from a file and is not being deleted."""
        return declared(await asyncio.to_thread(self._details))

    async def deploy(self, applications: Sequence[ApplicationConfig]) -> None:
        """Add applications, or change those of the same names, and leave all others alone."""
        await self._change(lambda present: {**present, **{config["name"]: config for config in applications}})

    async def delete(self, names: Sequence[str]) -> None:
        """Delete applications; those that do not exist are gone already. Their replicas end in their own time."""
        gone = set(names)
        await self._change(lambda present: {name: config for name, config in present.items() if name not in gone})

    async def _change(self, change: Callable[[dict[str, ApplicationConfig]], dict[str, ApplicationConfig]]) -> None:
        async with self._turn:
            details = await asyncio.to_thread(self._details)
            present = declared(details)
            wanted = change(present)
            if wanted != present:
                await asyncio.to_thread(self._apply, wanted.values(), details.get("target_capacity"))

    def _details(self) -> dict[str, Any]:
        details: dict[str, Any] = self._client().get_serve_details()
        return details

    def _apply(self, applications: Iterable[ApplicationConfig], target_capacity: float | None) -> None:
        """Have Serve's controller take a configuration into use; it waits for nothing.

        Ports and other options of the whole are not in it: Serve reads them at its start only.
        """
        whole = {"applications": list(applications), "target_capacity": target_capacity}
        self._client().deploy_apps(ServeDeploySchema.model_validate(whole))


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
