"""A plan as rows and sentences, for the person who decides about it."""

from __future__ import annotations

from collections.abc import Iterator

from serve_app.cli.rollout_view import routing_text
from serve_app.release.applications import ApplicationStep, Change
from serve_app.release.plan import ModelStep, Plan

APPLICATION_HEADERS = ("application", "what", "why")
MODEL_HEADERS = ("model", "traffic now", "traffic then", "how")


def application_rows(plan: Plan) -> Iterator[tuple[str, str, str]]:
    """Every application that changes."""
    for one in plan.applications:
        if one.change is not Change.KEEP:
            yield one.name, one.change.value, "; ".join(one.differences) or _why(plan, one)


def model_rows(plan: Plan) -> Iterator[tuple[str, str, str, str]]:
    """Every model whose traffic, labels or other settings change."""
    for model in plan.models:
        if model.changes:
            yield model.model, routing_text(model.before), routing_text(model.after), _how(model)


def sentences(plan: Plan) -> Iterator[str]:
    """What else should be known before it begins."""
    yield from plan.notes
    for one in plan.applications:
        if one.name == plan.wanted.gateway and one.change in (Change.REPLACE, Change.RESTART):
            yield f"{one.name}: restarts the gateway: in-flight requests are drained"
        elif one.change is Change.REPLACE and one.name in plan.wanted.releases:
            yield f"{one.name}: its replicas restart as something else under the same version tag"
    for model in plan.models:
        yield from model.notes
    for release, seconds in plan.kept.items():
        yield f"{release}: retired already, kept for another {seconds:.0f} s"
    unchanged = sum(one.change is Change.KEEP for one in plan.applications)
    yield f"{unchanged} application{'s' if unchanged != 1 else ''} unchanged"


def refusal(plan: Plan) -> str:
    """Why a plan with other things under the same tags is not carried out."""
    named = "; ".join(f"{one.name} ({', '.join(one.differences)})" for one in plan.refused)
    return (
        f"the same version tag would be another thing: {named}; give it a new version, so that it can be compared and "
        "rolled back, or say --replace"
    )


def _why(plan: Plan, one: ApplicationStep) -> str:
    if one.change is not Change.RETIRE:
        return ""
    after = plan.keep_for_s(one.config or {})
    return f"not in the file; {f'kept for {after:g} s' if after else 'deleted'} after the traffic has moved"


def _how(model: ModelStep) -> str:
    if model.after is None:
        return "no longer served"
    if model.declared is None:
        return "new"
    if not model.moves:
        return "other settings of the entry"
    config = model.config
    steps = " ".join(f"{step.percent:g}%/{step.seconds:g}s" for step in config.steps)
    gates = f"{len(config.gates)} gate{'s' if len(config.gates) != 1 else ''}" if config.gates else ""
    return ", ".join(filter(None, (config.strategy, steps, gates, "" if config.automatic else "promoted by hand")))
