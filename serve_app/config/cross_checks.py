"""Rules between the applications of one serve file: what no schema of one application can see."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from serve_app.config.declared import (
    GATEWAY_DEPLOYMENT,
    GATEWAY_IMPORT_PATH,
    RELEASE_IMPORT_PATH,
    RELEASES_DEPLOYMENT,
    Application,
    DeploymentEntry,
    Gateway,
    Release,
    ServeFile,
)
from serve_app.config.graph import ComputingNode, GraphConfig, RemoteNode
from serve_app.config.located import KeyPath, at
from serve_app.config.release import ReleaseArgs, ReleaseTuning
from serve_app.config.schema_findings import shown, validate
from serve_app.config.unknown_keys import Finding

GATEWAY_NAME = "gateway"
GATEWAY_ROUTE = "/"


def cross_check(file: ServeFile) -> Iterator[Finding]:
    """Yield what is wrong between the parts of a serve file."""
    yield from _one_gateway(file)
    yield from _each_name_once(file)
    yield from _each_route_once(file)
    for application in file.others:
        yield from _no_builder_of_ours(application)
    for release in file.releases:
        yield from _release_stands_alone(release)
    for gateway in file.gateways:
        yield from _only_deployments(gateway.application, GATEWAY_DEPLOYMENT, RELEASES_DEPLOYMENT)
        yield from _one_controller(gateway.application)
        yield from _traffic_has_releases(gateway, file.releases)
        yield from _inline_is_no_application(gateway, file.applications)
        yield from _batches_can_fill(gateway, file.releases)
    yield from _host_is_local(file)


def never_fills(entry: DeploymentEntry, rows: int, release: str) -> Finding | None:
    """A finding if the gateway's replicas hold too few requests at a time to fill a batch of `rows` of one row each."""
    if entry.max_ongoing_requests is None:  # the gateway's builder then sets 4096
        return None
    limit = entry.max_ongoing_requests * entry.max_replicas
    if limit >= rows:
        return None
    return (*entry.path, "max_ongoing_requests"), (
        f"{entry.max_ongoing_requests} requests at a time in {entry.max_replicas} replica(s) hold at most {limit} rows "
        f"of one row each: a batch of {release} (batching.max_rows {rows}) could never fill"
    )


def _one_gateway(file: ServeFile) -> Iterator[Finding]:
    if not file.gateways:
        yield ("applications",), f"no application has import_path {GATEWAY_IMPORT_PATH}; exactly one is the gateway"
        return
    application = file.gateways[0].application
    if application.name != GATEWAY_NAME:
        yield (*application.path, "name"), f"the gateway must be named {GATEWAY_NAME!r}, not {application.name!r}"
    if application.route_prefix != GATEWAY_ROUTE:
        message = f"the gateway's route must be {GATEWAY_ROUTE!r}, not {shown(application.route_prefix)}"
        yield (*application.path, "route_prefix"), message
    for other in file.gateways[1:]:
        path = (*other.application.path, "import_path")
        yield path, f"a second gateway; {application.name!r} is one, and there must be exactly one"


def _each_name_once(file: ServeFile) -> Iterator[Finding]:
    seen: set[str] = set()
    for application in file.applications:
        if application.name in seen:
            message = f"a second application named {application.name!r}"
            yield (*application.path, "name"), f"{message}; a changed release is a new version"
        seen.add(application.name)


def _each_route_once(file: ServeFile) -> Iterator[Finding]:
    seen: dict[object, str] = {}
    releases = {release.application.path for release in file.releases}  # theirs must be null, which is said elsewhere
    for application in file.applications:
        route = application.route_prefix
        if application.path in releases or not isinstance(route, str):
            continue
        path = (*application.path, "route_prefix")
        if not route.startswith("/"):
            yield path, f"a route must begin with '/', not be {route!r}"
        if route in seen:
            yield path, f"the route {route!r} is {seen[route]}'s already"
        seen.setdefault(route, application.name)


def _no_builder_of_ours(application: Application) -> Iterator[Finding]:
    if application.import_path.startswith("graphs."):
        ours = f"{GATEWAY_IMPORT_PATH} or {RELEASE_IMPORT_PATH}"
        yield (*application.path, "import_path"), f"must be {ours} in graphs, not {shown(application.import_path)}"


def _release_stands_alone(release: Release) -> Iterator[Finding]:
    application = release.application
    if release.model and release.version:
        if application.name != release.release:
            yield (
                (*application.path, "name"),
                f"the release of model {release.model!r}, version {release.version!r} must be named "
                f"{release.release!r}, not {application.name!r}",
            )
        graph = release.args.graph if release.args else None
        own = [node.name for node in graph.own] if graph else []
        yield from _only_deployments(application, release.model, *own, graph=graph)
    for entry in application.deployments:
        if entry.user_config is not None:
            yield from validate(ReleaseTuning, entry.user_config, (*entry.path, "user_config"))[1]
            tuning = entry.user_config if isinstance(entry.user_config, Mapping) else {}
            if entry.name != release.model and "slo_ms" in tuning:
                message = f"has no effect on the node {entry.name!r}: its time is its share of the release's"
                yield (*entry.path, "user_config", "slo_ms"), message
    if "route_prefix" not in application.data:
        yield (*application.path, "route_prefix"), "must be given as null: Ray's default is '/', the gateway's route"
    elif application.route_prefix is not None:
        message = f"must be null, not {shown(application.route_prefix)}: only the gateway has a route"
        yield (*application.path, "route_prefix"), message


def _only_deployments(application: Application, *names: str, graph: GraphConfig | None = None) -> Iterator[Finding]:
    seen: set[str] = set()
    for entry in application.deployments:
        path = (*entry.path, "name")
        if not entry.name:
            yield path, "required key is missing"
        elif entry.name not in names:
            known = f"its only one is {names[0]!r}" if len(names) == 1 else f"it has: {', '.join(names)}"
            why = (_why_not_its_own(graph, entry.name) if graph else "") or known
            yield path, f"{application.name} has no deployment {entry.name!r}; {why}"
        elif entry.name in seen:
            yield path, f"a second entry for {entry.name!r}"
        seen.add(entry.name)


def _why_not_its_own(graph: GraphConfig, name: str) -> str:
    """Why a node of the graph has no deployment, and what would give it one; empty if it is no node."""
    node = next((node for node in graph.nodes if node.name == name), None)
    if isinstance(node, ComputingNode):
        return f"node {name!r} is fused; placement: own gives it replicas of its own"
    if isinstance(node, RemoteNode):
        return f"node {name!r} is a model of another server, which scales it"
    return f"node {name!r} is of kind {node.kind}, which is always in the process of its graph" if node else ""


def _traffic_has_releases(gateway: Gateway, releases: Iterable[Release]) -> Iterator[Finding]:
    """Read from the raw table, so that a fault in one model's entry hides nothing about the others."""
    entry = gateway.entry
    models = at(entry.user_config, ("models",)) if entry else None
    if entry is None or not isinstance(models, Mapping):
        return
    served: dict[str, set[str]] = {}
    for release in releases:
        served.setdefault(release.model, set()).add(release.version)
    for model, traffic in models.items():
        if not isinstance(model, str):  # the schema says so, with the line of the key
            continue
        path: KeyPath = (*entry.path, "user_config", "models", model)
        versions = served.get(model, set()) | _inline_versions(traffic)
        if not versions and "" not in served:
            yield path, f"no application of this file is a release of model {model!r}"
            continue
        for where, version in _named_versions(traffic):
            if not {version, ""} & (versions or {""}):
                known = ", ".join(sorted(versions))
                message = f"version {version!r} of {model} has no release in this file; there are: {known}"
                yield (*path, *where), message


def _one_controller(application: Application) -> Iterator[Finding]:
    """Two controllers would move traffic against each other."""
    entry = application.deployment(RELEASES_DEPLOYMENT)
    options = at(application.data, entry.path[len(application.path) :]) if entry else None
    if entry is None or not isinstance(options, Mapping):
        return
    replicas = options.get("num_replicas", 1)
    if replicas != 1:
        yield (*entry.path, "num_replicas"), f"must be 1, not {shown(replicas)}: there is one controller of releases"
    if options.get("autoscaling_config") is not None:
        yield (*entry.path, "autoscaling_config"), "there is one controller of releases, which is not scaled"
    if entry.user_config is not None:
        yield (*entry.path, "user_config"), "has no effect: the controller's settings are args.releases"


def _inline_is_no_application(gateway: Gateway, applications: Iterable[Application]) -> Iterator[Finding]:
    taken = {application.name: "an application of this file" for application in applications}
    for path, args in gateway.inline:
        if args.release in taken:
            yield path, f"{args.release} is {taken[args.release]} already; a version runs in one place"
        taken[args.release] = "a version inside the gateway"


def _inline_versions(traffic: object) -> set[str]:
    inline = at(traffic, ("inline",))
    return {version for version in inline if isinstance(version, str)} if isinstance(inline, Mapping) else set()


def _named_versions(traffic: object) -> Iterator[tuple[KeyPath, str]]:
    weights, labels = at(traffic, ("traffic",)), at(traffic, ("labels",))
    if isinstance(weights, Mapping):
        for version in weights:
            if isinstance(version, str):
                yield ("traffic", version), version
    if isinstance(labels, Mapping):
        for label, version in labels.items():
            if isinstance(version, str):
                yield ("labels", label), version
    yield from _shadows(traffic)


def _shadows(traffic: object) -> Iterator[tuple[KeyPath, str]]:
    shadows = at(traffic, ("shadow",))
    for index, shadow in enumerate(shadows if isinstance(shadows, list | tuple) else ()):
        version = at(shadow, ("to",))
        if isinstance(version, str):
            yield ("shadow", index, "to"), version


def _batches_can_fill(gateway: Gateway, releases: Iterable[Release]) -> Iterator[Finding]:
    largest: tuple[int, str] = (0, "")
    for release in releases:
        largest = max(largest, (declared_rows(release.args), release.release))
        own = release.application.deployment(release.model)
        if own and own.max_ongoing_requests is not None and own.max_ongoing_requests < gateway.max_replicas:
            yield (
                (*own.path, "max_ongoing_requests"),
                f"{own.max_ongoing_requests} blocks of rows at a time, but up to {gateway.max_replicas} gateway "
                f"replicas have one in flight each: {release.release} could never take all of them",
            )
    if gateway.entry is None:
        return
    if finding := never_fills(gateway.entry, *largest):
        yield finding
    for _, args in gateway.inline:
        if finding := never_fills(one_replica(gateway.entry), declared_rows(args), args.release):
            yield finding


def one_replica(entry: DeploymentEntry) -> DeploymentEntry:
    """The options as a release inside the gateway sees them: it gets the requests of its own replica alone."""
    return replace(entry, max_replicas=1)


def declared_rows(args: ReleaseArgs | None) -> int:
    """The `batching.max_rows` that a release's args give; 0 leaves it to the manifest."""
    batching = args.batching if args else None
    return batching.max_rows if batching and "max_rows" in batching.model_fields_set else 0


def _host_is_local(file: ServeFile) -> Iterator[Finding]:
    hosts: list[tuple[KeyPath, object]] = [(("http_options", "host"), file.http_host)]
    for gateway in file.gateways:
        if gateway.args and gateway.args.express:
            hosts.append(((*gateway.application.path, "args", "express", "host"), gateway.args.express.host))
    for path, host in hosts:
        if host is None:
            yield path, "must be given: Ray's default is 0.0.0.0 and there is no authentication yet; use 127.0.0.1"
        elif not _is_loopback(str(host)):
            message = f"{host} is reachable from other machines and there is no authentication yet; use 127.0.0.1"
            yield path, message


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
