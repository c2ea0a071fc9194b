"""Records of the controller, one of each kind and of whatever a test needs."""

from __future__ import annotations

from types import MappingProxyType

from serve_app.release.counts import ArmCounts
from serve_app.release.records import (
    CountsRecord,
    Event,
    Phase,
    Retirement,
    RolloutRecord,
    Routing,
    UnloadedApplication,
)


def rollout(key: str = "r1", **changes) -> RolloutRecord:
    fields = {
        "model": "digits",
        "before": Routing({"v1": 100.0}, {"stable": "v1"}),
        "after": Routing(MappingProxyType({"v2": 100.0})),
        "config": {"strategy": "canary", "steps": [{"percent": 5.0, "seconds": 60.0}]},
        "base": "0123456789abcdef",
        "phase": Phase.RUNNING,
        "step": 1,
        "step_began_s": 1010.5,
        "reason": "waits for 100 requests",
        "verdicts": ({"gate": "error_rate", "passes": None}, {"gate": "reward", "value": 0.25}),
        "actor": "ann",
        "started_s": 1000.0,
        "samples": {"refused / requests": {"n": 3, "sum": 0.1}},
    }
    return RolloutRecord(key, **{**fields, **changes})


def counts(window: str = "r1/1", version: str = "v2", gateway: str = "g1", requests: int = 7) -> CountsRecord:
    seen = ArmCounts(requests=requests, errors=1, latency={3: 2, 160: 5}, latency_ms_sum=12.25, distance_max=0.5)
    return CountsRecord(window, version, gateway, seen)


def event(key: str = "e1", time_s: float = 1000.0, model: str = "digits", **changes) -> Event:
    fields = {"kind": "traffic", "actor": "ann", "text": "v2 takes 5%", "details": {"traffic": {"v1": 95, "v2": 5}}}
    return Event(key, time_s, model=model, **{**fields, **changes})


RETIREMENT = Retirement("digits-v1", 1600.0, "ann")
UNLOADED = UnloadedApplication("digits-v1", {"name": "digits-v1", "args": {"model": "digits"}, "deployments": [1, 2]})
