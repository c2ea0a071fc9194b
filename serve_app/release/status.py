"""What the controller shows: JSON for `GET /v2/releases`, the answers to commands, and experiments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from serve_app.config.gateway import ModelTraffic
from serve_app.errors import CommandRefused
from serve_app.release.control import Document
from serve_app.release.counts import ArmCounts
from serve_app.release.gates import compare_arms
from serve_app.release.gateways import Gateways
from serve_app.release.records import Phase, RolloutRecord, Routing
from serve_app.release.rollout import config_of, routing_of, stages_of

if TYPE_CHECKING:
    from serve_app.release.controller import Controller

SHOWN_EVENTS = 30


def rollout_document(record: RolloutRecord, now_s: float) -> Document:
    """A rollout as people and programs see it."""
    config = config_of(record)
    stages = stages_of(config)
    is_in_step = record.phase in (Phase.RUNNING, Phase.PAUSED)
    return {
        "id": record.id,
        "model": record.model,
        "strategy": config.strategy,
        "phase": record.phase.value,
        "step": record.step + 1 if is_in_step else 0,
        "steps": len(stages),
        "percent": stages[record.step].percent if is_in_step else 100.0 * (record.phase is Phase.SUCCEEDED),
        "from": _routing_document(record.before),
        "to": _routing_document(record.after),
        "traffic": dict(routing_of(record).traffic),
        "seconds_in_step": round(now_s - record.step_began_s, 1) if is_in_step else 0.0,
        "verdicts": list(record.verdicts),
        "reason": record.reason,
        "actor": record.actor,
        "started_s": record.started_s,
        "ended_s": record.ended_s,
    }


def _routing_document(routing: Routing) -> Document:
    return {"traffic": dict(routing.traffic), "labels": dict(routing.labels)}


def status_document(controller: Controller, now_s: float) -> Document:
    """Models, versions, rollouts, gates and the last events."""
    gateways, lock = controller.gateways, controller.held_lock()
    ages = gateways.ages_s()
    declared = gateways.declared.models if gateways.declared else {}
    return {
        "revision": controller.rollouts.revision,
        "gateways": [
            {"gateway": report.gateway, "revision": report.revision, "age_s": round(ages[report.gateway], 2)}
            for report in gateways.alive
            if report.gateway in ages
        ],
        "models": {model: _model_document(controller, model, entry, now_s) for model, entry in declared.items()},
        "retirements": [
            {"release": item.release, "in_s": round(max(0.0, item.at_s - now_s), 1)}
            for item in controller.retirements.due.values()
        ],
        "events": [asdict(event) for event in list(controller.events.last)[:SHOWN_EVENTS]],
        "database": controller.journal.fault,
        "lock": {"owner": lock.owner, "expires_in_s": round(lock.expires_s - now_s, 1)} if lock else None,
    }


def _model_document(controller: Controller, model: str, entry: ModelTraffic, now_s: float) -> Document:
    gateways, record = controller.gateways, controller.rollouts.records.get(model)
    live = controller.rollouts.live.get(model)
    routing = controller.rollouts.routing(model)
    is_live = live is not None and gateways.fingerprint(model) in (None, live.base)
    window = live.window if live is not None and is_live and live.window else entry.window(model, entry.fingerprint)
    versions = {*gateways.known_versions(model), *entry.traffic, *entry.labels.values()}
    reasons = gateways.reasons(model, sorted(versions))
    return {
        "declared": {"traffic": dict(entry.traffic), "labels": dict(entry.labels)},
        "traffic": dict(routing.traffic) if routing else {},
        "labels": dict(routing.labels) if routing else {},
        "shadows": [{"to": s.to, "percent": s.percent} for s in (live.shadows if live and is_live else entry.shadow)],
        "versions": {
            version: {"ready": not reason, "reason": reason, "gateways": gateways.ready_at(model, version)}
            for version, reason in reasons.items()
        },
        "rollout": rollout_document(record, now_s) if record else None,
        "window": window,
        "counts": {version: counts.to_json() for version, counts in gateways.counts(window).items()},
    }


def experiment_document(gateways: Gateways, name: str) -> Document:
    """An experiment's metrics by version, with intervals, and what differs from the control.

    Raises:
        CommandRefused: There is none of that name.
    """
    for model, entry in (gateways.declared.models if gateways.declared else {}).items():
        experiment = entry.experiment
        if experiment is None or experiment.name != name:
            continue
        arms: Mapping[str, ArmCounts] = gateways.counts(experiment.window(model))
        control = arms.get(experiment.control, ArmCounts())
        metrics = [
            {"arm": version, **asdict(metric)}
            for version, weight in entry.traffic.items()
            if weight > 0
            for metric in compare_arms(control, arms.get(version, ArmCounts()), experiment.confidence)
        ]
        return {
            "name": name,
            "model": model,
            "control": experiment.control,
            "confidence": experiment.confidence,
            "metrics": metrics,
        }
    raise CommandRefused(f"no model of the traffic table has an experiment {name!r}")
