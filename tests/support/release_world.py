"""A cluster and its controller of releases, in memory, behind two real HTTP servers: dashboard and gateway."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import RLock, Thread
from typing import Any

from serve_app.config.gateway import ModelTraffic

TICK_S = 0.5


@dataclass
class World:
    """What runs, and what the controller does to it; `tick` lets half a second pass.

    Attributes:
        broken: Applications that cannot become ready.
        regressing: Models whose rollouts a gate rolls back.
        manual: Models whose rollouts wait for `promote`.
        jumps: What must never happen: traffic that moved without the controller, or to a version that does not run.
        puts: The names in every config that was deployed.
        commands: Every command but locks.
    """

    broken: set[str] = field(default_factory=set)
    regressing: set[str] = field(default_factory=set)
    manual: set[str] = field(default_factory=set)
    applications: dict[str, dict[str, Any]] = field(default_factory=dict)
    live: dict[str, dict[str, Any]] = field(default_factory=dict)
    rollouts: dict[str, dict[str, Any]] = field(default_factory=dict)
    retirements: dict[str, float] = field(default_factory=dict)
    lock: dict[str, Any] | None = None
    now: float = 1000.0
    token: str = ""
    away: bool = False
    dashboard_url: str = ""
    gateway_url: str = ""
    jumps: list[str] = field(default_factory=list)
    puts: list[list[str]] = field(default_factory=list)
    commands: list[dict[str, Any]] = field(default_factory=list)
    guard: RLock = field(default_factory=RLock)

    # the cluster

    @property
    def gateway_answers(self) -> bool:
        """Whether a replica of it runs."""
        return bool(self.applications.get("gateway", {}).get("status") == "RUNNING")

    def deploy(self, config: dict[str, Any]) -> None:
        """As Serve does: what is not named is deleted, what is the same is left alone."""
        before = self.routings()
        named = {app.get("name", "default"): app for app in config["applications"]}
        self.puts.append(sorted(named))
        for name in [name for name in self.applications if name not in named]:
            del self.applications[name]
        for name, app in named.items():
            old = self.applications.get(name)
            is_same = old is not None and _without_table(old["config"]) == _without_table(app)
            status = old["status"] if old is not None and is_same else "DEPLOYING"
            self.applications[name] = {"config": copy.deepcopy(app), "status": status, "message": ""}
        for model, routing in self.routings().items():
            if model in before and _positive(before[model]) != _positive(routing):
                self.jumps.append(f"{model} moved from {before[model]} to {routing} by a deployment")
        self._check()

    def tick(self, _: float = TICK_S) -> None:
        with self.guard:
            self.now += TICK_S
            for name, app in self.applications.items():
                if app["status"] == "DEPLOYING":
                    app["status"] = "DEPLOY_FAILED" if name in self.broken else "RUNNING"
                    app["message"] = "Traceback: it cannot load" if name in self.broken else ""
            for rollout in self.rollouts.values():
                self._advance(rollout)
            for release in [name for name, at in self.retirements.items() if at <= self.now]:
                del self.retirements[release]
                self.applications.pop(release, None)
            self._check()

    def entries(self) -> dict[str, Any]:
        """The declared table's models."""
        if "gateway" not in self.applications:
            return {}
        found: dict[str, Any] = self.applications["gateway"]["config"]["deployments"][0]["user_config"]["models"]
        return found

    def routings(self) -> dict[str, dict[str, Any]]:
        """Who answers now, by model."""
        return {model: self._routing(model, entry) for model, entry in self.entries().items()}

    def _routing(self, model: str, entry: dict[str, Any]) -> dict[str, Any]:
        live = self.live.get(model)
        if live is not None and live["base"] == ModelTraffic.model_validate(entry).fingerprint:
            return {"traffic": live["traffic"], "labels": live["labels"]}
        return {"traffic": entry["traffic"], "labels": entry.get("labels", {})}

    def _check(self) -> None:
        if self.applications.get("gateway", {}).get("status") != "RUNNING":
            return
        for model, routing in self.routings().items():
            for version, weight in routing["traffic"].items():
                app = self.applications.get(f"{model}-{version}")
                inline = self.entries()[model].get("inline", {})
                if weight > 0 and version not in inline and (app is None or app["status"] != "RUNNING"):
                    self.jumps.append(f"{model} {version} has {weight}% and does not run")

    # the controller

    def status(self) -> dict[str, Any]:
        return {
            "revision": 1,
            "gateways": [{"gateway": "g1", "revision": 1, "age_s": 0.2}],
            "models": {model: self._model(model, entry) for model, entry in self.entries().items()},
            "retirements": [{"release": name, "in_s": at - self.now} for name, at in self.retirements.items()],
            "events": [],
            "database": "",
            "lock": None,
        }

    def _model(self, model: str, entry: dict[str, Any]) -> dict[str, Any]:
        versions = ModelTraffic.model_validate(entry).versions
        inline = entry.get("inline", {})
        return {
            "declared": {"traffic": entry["traffic"], "labels": entry.get("labels", {})},
            **self._routing(model, entry),
            "shadows": [],
            "versions": {v: self._version(f"{model}-{v}", v in inline) for v in sorted(versions)},
            "rollout": self.rollouts.get(model),
            "counts": {},
            "window": "w",
        }

    def _version(self, release: str, is_inline: bool) -> dict[str, Any]:
        is_ready = is_inline or self.applications.get(release, {}).get("status") == "RUNNING"
        return {"ready": is_ready, "reason": "" if is_ready else "not deployed", "gateways": 1 if is_ready else 0}

    def command(self, command: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        verb = command["verb"]
        if verb not in ("lock", "unlock"):
            self.commands.append(command)
        answers = {
            "lock": self._lock,
            "unlock": self._unlock,
            "start": self._start,
            "promote": self._promote,
            "rollback": self._rollback,
            "retire": self._retire,
            "keep": self._keep,
        }
        return answers[verb](command)

    def _lock(self, command: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.lock is None or self.lock["until"] <= self.now or self.lock["owner"] == command["owner"]:
            self.lock = {"owner": command["owner"], "until": self.now + command["for_s"]}
        acquired = self.lock["owner"] == command["owner"]
        return 200, {"acquired": acquired, "owner": self.lock["owner"], "expires_in_s": self.lock["until"] - self.now}

    def _unlock(self, command: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.lock is not None and self.lock["owner"] == command["owner"]:
            self.lock = None
        return 200, {}

    def _start(self, command: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        model = command["model"]
        after = {"traffic": command["traffic"], "labels": command["labels"]}
        last = self.rollouts.get(model)
        if last is not None and last["to"] == after and last["phase"] not in ("rolled_back", "superseded", "failed"):
            return 200, last
        entry = self.entries()[model]
        if unknown := set(command["traffic"]) - ModelTraffic.model_validate(entry).versions:
            return 409, {"error": f"the declared table of {model} has no version {min(unknown)}"}
        steps = [step["percent"] for step in command["rollout"]["steps"]] or [100]
        before = self._routing(model, entry)
        self.rollouts[model] = {
            "id": f"{len(self.commands):04d}",
            "model": model,
            "strategy": command["rollout"]["strategy"],
            "phase": "running",
            "step": 0,
            "steps": len(steps),
            "percents": steps,
            "percent": 0,
            "from": copy.deepcopy(before),
            "to": after,
            "seconds_in_step": 0,
            "verdicts": [{"gate": "error_rate", "bound": "max 1", "outcome": "pass", "sentence": "error_rate is 0"}],
            "reason": "",
            "actor": command["actor"],
            "started_s": self.now,
            "ended_s": 0,
            "base": ModelTraffic.model_validate(entry).fingerprint,
        }
        return 200, self.rollouts[model]

    def _advance(self, rollout: dict[str, Any]) -> None:
        model = rollout["model"]
        if rollout["phase"] != "running":
            return
        if model in self.regressing and rollout["step"] > 0:
            rollout.update(phase="rolled_back", reason="error_rate is 0.2, over 0.01", percent=0)
            self._set(rollout, rollout["from"])
        elif rollout["step"] < len(rollout["percents"]) - 1 or (model in self.regressing and rollout["step"] == 0):
            share = rollout["percents"][rollout["step"]]
            rollout.update(
                step=rollout["step"] + 1, percent=share, phase="paused" if model in self.manual else "running"
            )
            self._set(rollout, _mixed(rollout["from"], rollout["to"], share))
        else:
            rollout.update(phase="succeeded", percent=100)
            self._set(rollout, rollout["to"])

    def _set(self, rollout: dict[str, Any], routing: dict[str, Any]) -> None:
        self.live[rollout["model"]] = {"base": rollout["base"], **copy.deepcopy(routing)}

    def _promote(self, command: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        rollout = self.rollouts.get(command["model"])
        if rollout is None or rollout["phase"] != "paused":
            return 409, {"error": f"{command['model']} has no rollout that waits"}
        self.manual.discard(command["model"])
        rollout["phase"] = "running"
        return 200, rollout

    def _rollback(self, command: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        rollout = self.rollouts.get(command["model"])
        if rollout is None:
            return 409, {"error": f"{command['model']} has had no rollout"}
        entry = self.entries()[command["model"]]
        rollout.update(phase="rolled_back", reason=command["reason"] or "asked for", percent=0)
        rollout["base"] = ModelTraffic.model_validate(entry).fingerprint
        self._set(rollout, rollout["from"])
        return 200, rollout

    def _keep(self, command: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        for release in command["releases"]:
            self.retirements.pop(release, None)
        return 200, {}

    def _retire(self, command: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        for release in command["releases"]:
            self.retirements.setdefault(release, self.now + command["after_s"])
        return 200, {}

    @contextmanager
    def served(self) -> Iterator[World]:
        """Both servers, for as long as the block lasts."""
        with _http(self, _Dashboard) as self.dashboard_url, _http(self, _Gateway) as self.gateway_url:
            yield self


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    world: World

    def handle_one(self, body: Any) -> tuple[int, Any]:
        raise NotImplementedError

    def _answer(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        with self.world.guard:
            code, document = self.handle_one(body)
            content = b"" if document is None else json.dumps(document).encode()
        self.send_response(code)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = _answer

    @property
    def is_allowed(self) -> bool:
        return not self.world.token or self.headers.get("authorization") == f"Bearer {self.world.token}"

    def log_message(self, *_: object) -> None:
        pass


class _Dashboard(_Handler):
    def handle_one(self, body: Any) -> tuple[int, Any]:
        if self.command == "PUT":
            self.world.deploy(body)
            return 200, None
        applications = {
            name: {"deployed_app_config": app["config"], "status": app["status"], "message": app["message"]}
            for name, app in self.world.applications.items()
        }
        return 200, {"applications": applications, "http_options": {"host": "127.0.0.1", "port": 8000}}


class _Gateway(_Handler):
    def handle_one(self, body: Any) -> tuple[int, Any]:
        if self.world.away or not self.world.gateway_answers:
            return 503, {"error": "the controller of releases is away"}
        if self.command == "POST" and self.path == "/admin/commands":
            if not self.is_allowed:
                return 401, {"error": "a wrong token"}
            return self.world.command(body)
        return (200, self.world.status()) if self.path == "/v2/releases" else (404, {"error": "not here"})


@contextmanager
def _http(world: World, handler: type[_Handler]) -> Iterator[str]:
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (handler,), {"world": world}))
    http.daemon_threads = True
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}"
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def _without_table(application: dict[str, Any]) -> dict[str, Any]:
    if application["name"] != "gateway":
        return application
    return {**application, "deployments": [{**entry, "user_config": None} for entry in application["deployments"]]}


def _positive(routing: dict[str, Any]) -> dict[str, Any]:
    return {**routing, "traffic": {v: w for v, w in routing["traffic"].items() if w > 0}}


def _mixed(before: dict[str, Any], after: dict[str, Any], share: float) -> dict[str, Any]:
    names = {**before["traffic"], **after["traffic"]}
    traffic = {
        name: before["traffic"].get(name, 0) * (100 - share) / 100 + after["traffic"].get(name, 0) * share / 100
        for name in names
    }
    return {"traffic": traffic, "labels": before["labels"]}


def release(model: str, version: str, **args: Any) -> dict[str, Any]:
    """The application of a release."""
    return {
        "name": f"{model}-{version}",
        "route_prefix": None,
        "import_path": "graphs.inference:build",
        "args": {"model": model, "version": version, "source": f"models/{model}/{version}", **args},
    }


def serve_file(models: dict[str, Any], releases: list[dict[str, Any]], **gateway_args: Any) -> dict[str, Any]:
    """A serve file as data."""
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": "127.0.0.1", "port": 8000},
        "applications": [
            {
                "name": "gateway",
                "route_prefix": "/",
                "import_path": "graphs.gateway:build",
                "args": gateway_args,
                "deployments": [{"name": "Gateway", "user_config": {"models": models}}],
            },
            *releases,
        ],
    }
