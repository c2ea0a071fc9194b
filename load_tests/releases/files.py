"""Serve files of the scenarios: configs/prod.yaml cut down to what one needs, on ports of its own."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from load_tests.models import ROOT

PROD = ROOT / "configs/prod.yaml"
DIGITS, ENSEMBLE = "digits", "digits-ensemble"
OTHER_WEIGHTS = {"vote": [1.0, 3.0, 1.0], "mean": [1.0, 3.0]}
_ON_CPU = {"accelerator": "cpu"}

Entry = Mapping[str, Any]
"""A model's part of the traffic table."""


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports that nobody uses."""

    http: int
    grpc: int
    express: int


@dataclass(frozen=True, slots=True)
class ReleaseFile:
    """A serve file of a scenario; each change gives a new one.

    Attributes:
        options: The top of the file, without its applications.
        gateway: The gateway's application, without its table's models.
        models: The traffic table, by model.
        releases: The other applications, by name.
    """

    options: Mapping[str, Any]
    gateway: Mapping[str, Any]
    models: Mapping[str, Entry] = field(default_factory=dict)
    releases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def serving(self, application: Mapping[str, Any]) -> ReleaseFile:
        """With one release more."""
        return replace(self, releases={**self.releases, str(application["name"]): application})

    def without(self, *names: str) -> ReleaseFile:
        """Without some releases."""
        return replace(self, releases={name: one for name, one in self.releases.items() if name not in names})

    def routed(self, model: str, traffic: Mapping[str, float], **more: Any) -> ReleaseFile:  # noqa: ANN401 - an entry's fields
        """With another entry for a model."""
        return replace(self, models={**self.models, model: {"traffic": dict(traffic), **more}})

    def document(self) -> dict[str, Any]:
        """As the file has it."""
        gateway = copy.deepcopy(dict(self.gateway))
        table = {"default_model": next(iter(self.models)), "models": dict(self.models)}
        gateway["deployments"][0]["user_config"] = table
        return copy.deepcopy({**self.options, "applications": [gateway, *self.releases.values()]})

    def write(self, path: Path) -> Path:
        """Write it; gives the path."""
        path.write_text(yaml.safe_dump(self.document(), sort_keys=False))
        return path


def cut_down(ports: Ports, state_url: str, gateways: int = 1, prod: Path = PROD) -> ReleaseFile:
    """The production file without any release, on other ports and with its state elsewhere.

    Args:
        ports: Those of this server.
        state_url: Where the controller keeps its state.
        gateways: How many replicas the gateway has.
        prod: The file it is made from.
    """
    config = yaml.safe_load(prod.read_text())
    gateway = config.pop("applications")[0]
    config["http_options"]["port"], config["grpc_options"]["port"] = ports.http, ports.grpc
    gateway["args"]["express"]["port"] = ports.express
    gateway["args"]["releases"] = {**gateway["args"].get("releases", {}), "state_url": state_url}
    gateway["deployments"][0]["num_replicas"] = gateways
    return ReleaseFile(config, gateway)


def release(model: str, version: str, source: Path, python_class: str = "") -> dict[str, Any]:
    """The application of a version of digits on the CPU, with one replica."""
    args = {"model": model, "version": version, "source": str(source), **_ON_CPU}
    more: dict[str, Any] = {}
    if python_class:
        args["python_class"] = f"load_tests.releases.spoiled:{python_class}"
        more["runtime_env"] = {"env_vars": {"PYTHONPATH": str(ROOT)}}
    return _application(model, version, {**args, "slo_ms": 2000, "batching": {"max_rows": 64}}, more)


def digits(version: str) -> dict[str, Any]:
    """The application of a version of the sample model."""
    return release(DIGITS, version, ROOT / "models/digits" / version)


def ensemble(version: str, weights: Mapping[str, list[float]] | None = None, prod: Path = PROD) -> dict[str, Any]:
    """The application of the production file's ensemble under a version tag, its nodes' weights replaced by name."""
    (found,) = (one for one in yaml.safe_load(prod.read_text())["applications"] if one["name"] == f"{ENSEMBLE}-v1")
    args = {**found["args"], "version": version, **_ON_CPU}
    for node in args["graph"]["nodes"]:
        node["weights"] = (weights or {}).get(node["name"], node.get("weights"))
        if node["weights"] is None:
            del node["weights"]
        if node.get("source"):
            node["source"] = str(ROOT / node["source"])
    return _application(ENSEMBLE, version, args, {})


def canary(percents: Mapping[float, float], *gates: Entry, keep_for_s: float = 0.0) -> dict[str, Any]:
    """The rollout of a canary: seconds by percent, and its gates."""
    steps = [{"percent": percent, "seconds": seconds} for percent, seconds in percents.items()]
    return {"strategy": "canary", "steps": steps, "gates": list(gates), "keep_for_s": keep_for_s}


def _application(model: str, version: str, args: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": f"{model}-{version}",
        "route_prefix": None,
        "import_path": "graphs.inference:build",
        **more,
        "args": dict(args),
        "deployments": [{"name": model, "num_replicas": 1}],
    }
