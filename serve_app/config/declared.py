"""What a serve file declares, read leniently: one wrong part hides nothing of the others from the cross-checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serve_app.config.coded import coded_graph, is_coded, repeated, with_graph
from serve_app.config.gateway import GatewayArgs, TrafficTable
from serve_app.config.located import KeyPath, at
from serve_app.config.release import ReleaseArgs
from serve_app.config.schema_findings import validate
from serve_app.config.unknown_keys import Finding
from serve_app.errors import ConfigError
from serve_app.types import release_name

GATEWAY_IMPORT_PATH = "graphs.gateway:build"
RELEASE_IMPORT_PATH = "graphs.inference:build"
GATEWAY_DEPLOYMENT = "Gateway"
RELEASES_DEPLOYMENT = "Releases"

_RAY_APPLICATION_NAME = "default"
HA_PROXY, HA_PROXY_WAIT = "RAY_SERVE_ENABLE_HA_PROXY", "RAY_SERVE_HAPROXY_BROADCAST_COALESCE_S"
HTTP_CALLBACK = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
ENV_VARS: KeyPath = ("controller_options", "runtime_env", "env_vars")
REQUEST_TIMEOUT: KeyPath = ("http_options", "request_timeout_s")

_RAY_HA_PROXY_WAIT_S = 0.1
_RAY_AUTO_MAX_REPLICAS = 100  # of `num_replicas: auto`, ray.serve.config.AutoscalingConfig.default


@dataclass(frozen=True, slots=True)
class DeploymentEntry:
    """One item of an application's `deployments`.

    Attributes:
        path: Where the item stands.
        name: The deployment it is meant for; empty if it does not say.
        max_ongoing_requests: None if it is not given (or no positive number).
        max_replicas: Most replicas there can be at one time.
        user_config: As it is in the file.
    """

    path: KeyPath
    name: str
    max_ongoing_requests: int | None
    max_replicas: int
    user_config: object


@dataclass(frozen=True, slots=True)
class Application:
    """One item of `applications`; `data` is the item itself."""

    path: KeyPath
    data: Mapping[str, Any]
    deployments: tuple[DeploymentEntry, ...]

    @property
    def name(self) -> str:
        """Its name, or the one Ray gives it."""
        return str(self.data.get("name", _RAY_APPLICATION_NAME))

    @property
    def import_path(self) -> str:
        """What builds it; empty if it does not say."""
        return str(self.data.get("import_path", ""))

    @property
    def route_prefix(self) -> object:
        """Its route, or the one Ray gives it."""
        return self.data.get("route_prefix", "/")

    def deployment(self, name: str) -> DeploymentEntry | None:
        """The entry for a deployment, if there is one."""
        return next((entry for entry in self.deployments if entry.name == name), None)


@dataclass(frozen=True, slots=True)
class Gateway:
    """The application `gateway`; a part that could not be read is None."""

    application: Application
    args: GatewayArgs | None
    traffic: TrafficTable | None

    @property
    def entry(self) -> DeploymentEntry | None:
        """The options of the deployment that answers requests."""
        return self.application.deployment(GATEWAY_DEPLOYMENT)

    @property
    def max_replicas(self) -> int:
        """Most replicas of the gateway there can be."""
        return self.entry.max_replicas if self.entry else 1

    @property
    def inline(self) -> tuple[tuple[KeyPath, ReleaseArgs], ...]:
        """The releases in its replicas, each with where its settings stand; none if the table could not be read."""
        if self.entry is None or self.traffic is None:
            return ()
        models: KeyPath = (*self.entry.path, "user_config", "models")
        return tuple(((*models, args.model, "inline", args.version), args) for args in self.traffic.inline)


@dataclass(frozen=True, slots=True)
class Release:
    """An application that runs one version of one model.

    Attributes:
        application: The item of `applications`.
        model: Empty if it is not given as text.
        version: Empty if it is not given as text.
        args: None if they could not be read.
    """

    application: Application
    model: str
    version: str
    args: ReleaseArgs | None

    @property
    def release(self) -> str:
        """The name its application must have."""
        return release_name(self.model, self.version)

    @property
    def is_coded(self) -> bool:
        """Whether its graph is coded in Python, so that it stands nowhere in the file."""
        return self.application.import_path != RELEASE_IMPORT_PATH


@dataclass(frozen=True, slots=True)
class ServeFile:
    """All of a serve file that concerns us.

    Attributes:
        gateways: Applications built by `graphs.gateway:build`; there must be exactly one.
        releases: Applications built by `graphs.inference:build`, or by a module of `graphs` that codes their graph.
        others: The user's own applications.
        http_host: None if it is not given; Ray then listens on all interfaces.
        http_port: Where HTTP is answered.
        grpc_port: Where gRPC is answered; None if no servicer is given, so that there is no gRPC server.
        has_ha_proxy: Whether HAProxy stands in front instead of Ray's own proxy.
        ha_proxy_wait_s: How long changes of replicas are collected before HAProxy hears of them.
        has_bypassed_timeout: Whether Serve is given a time limit that infer routes, which go past it, do not have.
    """

    gateways: tuple[Gateway, ...]
    releases: tuple[Release, ...]
    others: tuple[Application, ...]
    http_host: object
    http_port: int
    grpc_port: int | None
    has_ha_proxy: bool
    ha_proxy_wait_s: float = _RAY_HA_PROXY_WAIT_S
    has_bypassed_timeout: bool = False

    @property
    def applications(self) -> tuple[Application, ...]:
        """Every application, in the file's order."""
        gateways = (gateway.application for gateway in self.gateways)
        releases = (release.application for release in self.releases)
        return tuple(sorted((*gateways, *releases, *self.others), key=lambda application: application.path))


def read_declared(data: Mapping[str, Any]) -> tuple[ServeFile, list[Finding]]:
    """Read what a serve file's data declares, and say what our own schemas find wrong with it."""
    items, findings = _items(data, ("applications",))
    gateways: list[Gateway] = []
    releases: list[Release] = []
    others: list[Application] = []
    for path, item in items:
        application, found = _application(path, item)
        findings += found
        if application.import_path == GATEWAY_IMPORT_PATH:
            gateway, found = _gateway(application)
            gateways.append(gateway)
        elif application.import_path == RELEASE_IMPORT_PATH or is_coded(application.import_path):
            release, found = _release(application)
            releases.append(release)
        else:
            others.append(application)
            found = []
        findings += found
    return _serve_file(data, (tuple(gateways), tuple(releases), tuple(others))), findings


def _serve_file(
    data: Mapping[str, Any], parts: tuple[tuple[Gateway, ...], tuple[Release, ...], tuple[Application, ...]]
) -> ServeFile:
    env_vars = at(data, ENV_VARS)
    return ServeFile(
        *parts,
        http_host=at(data, ("http_options", "host")),
        http_port=_positive(at(data, ("http_options", "port"))) or 8000,
        grpc_port=(_positive(at(data, ("grpc_options", "port"))) or 9000)
        if at(data, ("grpc_options", "grpc_servicer_functions"))
        else None,
        has_ha_proxy=at(env_vars, (HA_PROXY,)) == "1",
        ha_proxy_wait_s=_seconds(at(env_vars, (HA_PROXY_WAIT,)), _RAY_HA_PROXY_WAIT_S),
        has_bypassed_timeout=bool(at(env_vars, (HTTP_CALLBACK,)) and at(data, REQUEST_TIMEOUT)),
    )


def _seconds(value: object, default: float) -> float:
    """What an environment variable says, where it is a number."""
    try:
        return float(str(value))
    except ValueError:
        return default


def _items(data: Mapping[str, Any], path: KeyPath) -> tuple[list[tuple[KeyPath, Mapping[str, Any]]], list[Finding]]:
    """The mappings of the list at the end of `path`, whose last key is looked up in `data`."""
    value = data.get(str(path[-1]))
    if not isinstance(value, list):
        return [], [(path, "must be a list")] if value is not None or path == ("applications",) else []
    items: list[tuple[KeyPath, Mapping[str, Any]]] = []
    findings: list[Finding] = []
    for index, item in enumerate(value):
        if isinstance(item, Mapping):
            items.append(((*path, index), item))
        else:
            findings.append(((*path, index), "must be a mapping"))
    return items, findings


def _application(path: KeyPath, data: Mapping[str, Any]) -> tuple[Application, list[Finding]]:
    items, findings = _items(data, (*path, "deployments"))
    if not isinstance(data.get("import_path"), str):
        findings.append(((*path, "import_path"), "an application needs the import path of its builder"))
    entries = [_entry(entry_path, entry) for entry_path, entry in items]
    return Application(path, data, tuple(entries)), findings


def _entry(path: KeyPath, data: Mapping[str, Any]) -> DeploymentEntry:
    name = data.get("name")
    return DeploymentEntry(
        path,
        name if isinstance(name, str) else "",
        _positive(data.get("max_ongoing_requests")),
        _max_replicas(data),
        data.get("user_config"),
    )


def _max_replicas(entry: Mapping[str, Any]) -> int:
    scaled = _positive(at(entry, ("autoscaling_config", "max_replicas")))
    if entry.get("num_replicas") == "auto":
        return scaled or _RAY_AUTO_MAX_REPLICAS
    return scaled or _positive(entry.get("num_replicas")) or 1


def _positive(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _gateway(application: Application) -> tuple[Gateway, list[Finding]]:
    args, findings = validate(GatewayArgs, application.data.get("args", {}), (*application.path, "args"))
    entry = application.deployment(GATEWAY_DEPLOYMENT)
    if entry is None or entry.user_config is None:
        where = entry.path if entry else application.path
        missing = "user_config" if entry else "deployments"
        message = f"the deployment {GATEWAY_DEPLOYMENT} needs the traffic table as its user_config"
        return Gateway(application, args, None), [*findings, ((*where, missing), message)]
    traffic, found = validate(TrafficTable, entry.user_config, (*entry.path, "user_config"))
    return Gateway(application, args, traffic), findings + found


def _release(application: Application) -> tuple[Release, list[Finding]]:
    raw, path = application.data.get("args", {}), (*application.path, "args")
    given, findings = _completed(application, raw)
    args, found = validate(ReleaseArgs, given, path) if not findings else (None, [])
    model, version = at(raw, ("model",)), at(raw, ("version",))
    return (
        Release(
            application, model if isinstance(model, str) else "", version if isinstance(version, str) else "", args
        ),
        findings + found,
    )


def _completed(application: Application, args: object) -> tuple[object, list[Finding]]:
    """A release's args with the graph that is coded in Python, if it is."""
    if application.import_path == RELEASE_IMPORT_PATH or not isinstance(args, Mapping):
        return args, []
    if said := repeated(args):
        return args, [((*application.path, "args", key), reason) for key, reason in said.items()]
    try:
        return with_graph(args, coded_graph(application.import_path)), []
    except ConfigError as error:
        return args, [((*application.path, "import_path"), str(error))]
