"""What Triton's and TorchServe's verbs do to the applications of the cluster.

They change what runs, not what is declared: the next time a serve file is applied, it wins. A version that a call
registered is gone then, a scaled one has its declared replicas, and an unloaded one is deployed again. A graph or a
decoupled model is loaded and scaled as any other; only one of a single source can be registered, without the settings
that a serve file can give it, so a format that runs code when loaded needs a serve file with its `trusted_sha256`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from serve_app.config.declared import RELEASE_IMPORT_PATH
from serve_app.config.scaling import POLICY_PATH
from serve_app.errors import CommandRefused
from serve_app.release.commands import Load, Register, Scale, SetDefault, Unload, Unregister, Verb
from serve_app.release.control import ApplicationConfig, Applications, Document
from serve_app.release.records import Routing, UnloadedApplication
from serve_app.types import release_name

Move = Callable[[str, Routing, str], Awaitable[object]]
"""Gives a model another routing at once: model, routing, actor; may raise `CommandRefused`."""

_OURS = "graphs."


class Unloaded(Protocol):
    """What calls unloaded, kept over the controller's death."""

    async def remember(self, applications: Sequence[UnloadedApplication]) -> None:
        """Keep applications; one of the same name is replaced."""

    async def recall(self) -> Sequence[UnloadedApplication]:
        """All that is kept."""

    async def forget(self, names: Sequence[str]) -> None:
        """Keep them no longer."""


class Verbs:
    """Does them, one at a time.

    Args:
        applications: Those of the cluster.
        routing: A model's present one; None if the traffic table does not have the model.
        move: Changes it.
        unloaded: Where applications are kept that a call unloaded.
    """

    def __init__(
        self, applications: Applications, routing: Callable[[str], Routing | None], move: Move, unloaded: Unloaded
    ) -> None:
        self._applications, self._routing, self._move, self._unloaded = applications, routing, move, unloaded

    async def __call__(self, verb: Verb) -> Document:
        """Do what a verb says, and tell what was done.

        Raises:
            CommandRefused: It cannot be done as things are; the message says why.
        """
        match verb:
            case Load():
                return await self._load(verb)
            case Unload():
                return await self._unload(verb)
            case Register():
                return await self._register(verb)
            case Scale():
                return await self._scale(verb)
            case SetDefault():
                return await self._set_default(verb)
            case Unregister():
                return await self._unregister(verb)

    async def _load(self, verb: Load) -> Document:
        """Those of the model that were unloaded; if there are none, it must be running as it is."""
        running = _of_model(verb.model, await self._applications.running())
        kept = {entry.name: entry.config for entry in await self._unloaded.recall()}
        back = {name: config for name, config in _of_model(verb.model, kept).items() if name not in running}
        if not back and not running:
            raise CommandRefused(
                f"model {verb.model!r} cannot be loaded: no serve file has a release of it, and none was unloaded"
            )
        if back:
            await self._applications.deploy(list(back.values()))
        await self._unloaded.forget([name for name in _of_model(verb.model, kept)])
        return {"model": verb.model, "deployed": sorted(back)}

    async def _unload(self, verb: Unload) -> Document:
        """Remembered first: an application must not be lost to a failure between the two."""
        running = _of_model(verb.model, await self._applications.running())
        if not running:
            raise CommandRefused(f"model {verb.model!r} cannot be unloaded: no application runs a release of it")
        await self._unloaded.remember([UnloadedApplication(name, config) for name, config in running.items()])
        await self._applications.delete(list(running))
        return {"model": verb.model, "deleted": sorted(running)}

    async def _register(self, verb: Register) -> Document:
        """The routing changes first, so that what refuses it, such as a rollout under way, leaves nothing behind."""
        name, applications = release_name(verb.model, verb.version), await self._applications.running()
        routing = self._routing(verb.model)
        if routing is None:
            raise CommandRefused(
                f"model {verb.model!r} is not in the traffic table, so nobody could reach it: declare it there first"
            )
        if name in applications:
            raise CommandRefused(f"application {name!r} exists; a changed model is another version")
        is_only = not _of_model(verb.model, applications)
        if is_only and not routing.traffic.get(verb.version):
            await self._move(verb.model, Routing({verb.version: 100.0}), verb.actor)
        elif verb.version not in routing.traffic:
            joined = {**routing.traffic, verb.version: 0.0}
            await self._move(verb.model, Routing(joined, routing.labels), verb.actor)
        await self._applications.deploy([_registered(name, verb)])
        return {"model": verb.model, "version": verb.version, "deployed": [name]}

    async def _scale(self, verb: Scale) -> Document:
        name, config = await self._one(verb.model, verb.version)
        await self._applications.deploy([_scaled(config, verb)])
        return {"release": name, "min_replicas": verb.min_replicas, "max_replicas": verb.max_replicas}

    async def _set_default(self, verb: SetDefault) -> Document:
        name, _ = await self._one(verb.model, verb.version)
        routing = self._routing(verb.model)
        if routing is None:
            raise CommandRefused(f"model {verb.model!r} is not in the traffic table: declare it there first")
        others = {version: 0.0 for version in routing.traffic}
        await self._move(verb.model, Routing({**others, verb.version: 100.0}, routing.labels), verb.actor)
        return {"release": name, "traffic": 100.0}

    async def _unregister(self, verb: Unregister) -> Document:
        name, config = await self._one(verb.model, verb.version)
        version = _version(config)
        routing = self._routing(verb.model) or Routing({})
        if weight := routing.traffic.get(version, 0.0):
            raise CommandRefused(f"{name} has {weight:g} % of the traffic; give it to another version first")
        if labels := sorted(label for label, tag in routing.labels.items() if tag == version):
            raise CommandRefused(f"{name} has the label {labels[0]!r}; give it to another version first")
        if version in routing.traffic:
            left = {tag: weight for tag, weight in routing.traffic.items() if tag != version}
            await self._move(verb.model, Routing(left, routing.labels), verb.actor)
        await self._applications.delete([name])
        return {"deleted": [name]}

    async def _one(self, model: str, version: str | None) -> tuple[str, ApplicationConfig]:
        """The application of a version, or the model's only one."""
        running = _of_model(model, await self._applications.running())
        known = ", ".join(sorted(_version(config) for config in running.values())) or "none"
        if version is not None:
            running = {name: config for name, config in running.items() if _version(config) == version}
        if len(running) == 1:
            return next(iter(running.items()))
        if version is None and running:
            raise CommandRefused(f"model {model!r} has several versions, so one must be given: {known}")
        raise CommandRefused(f"no application runs {model} {version or ''}".rstrip() + f"; versions that run: {known}")


def _of_model(model: str, applications: Mapping[str, ApplicationConfig]) -> dict[str, ApplicationConfig]:
    """The applications that run a version of a model; not the gateway, nor what is not ours."""
    return {
        name: config
        for name, config in applications.items()
        if str(config.get("import_path", "")).startswith(_OURS)
        and _args(config).get("model") == model
        and name == release_name(model, _version(config))
    }


def _args(config: ApplicationConfig) -> Mapping[str, object]:
    args = config.get("args")
    return args if isinstance(args, Mapping) else {}


def _version(config: ApplicationConfig) -> str:
    return str(_args(config).get("version", ""))


def _registered(name: str, verb: Register) -> ApplicationConfig:
    return {
        "name": name,
        "route_prefix": None,
        "import_path": RELEASE_IMPORT_PATH,
        "args": {"model": verb.model, "version": verb.version, "source": verb.source},
        "deployments": [{"name": verb.model, "num_replicas": verb.replicas}],
    }


def _scaled(config: ApplicationConfig, verb: Scale) -> ApplicationConfig:
    """The application with other replicas of its main deployment; nodes of their own keep theirs."""
    entries = [dict(entry) for entry in config.get("deployments") or ()]
    if not any(entry.get("name") == verb.model for entry in entries):
        entries.append({"name": verb.model})
    changed = [_scaled_entry(entry, verb) if entry.get("name") == verb.model else entry for entry in entries]
    return {**config, "deployments": changed}


def _scaled_entry(entry: Mapping[str, object], verb: Scale) -> dict[str, object]:
    """A number of replicas, or, where there is a range, Ray's autoscaling with what else it had, or our policy."""
    rest = {key: value for key, value in entry.items() if key not in ("num_replicas", "autoscaling_config")}
    if verb.min_replicas == verb.max_replicas:
        return {**rest, "num_replicas": verb.max_replicas}
    before = entry.get("autoscaling_config")
    kept = dict(before) if isinstance(before, Mapping) else {"policy": {"policy_function": POLICY_PATH}}
    kept.pop("initial_replicas", None)
    bounds = {"min_replicas": verb.min_replicas, "max_replicas": verb.max_replicas}
    return {**rest, "autoscaling_config": {**kept, **bounds}}
