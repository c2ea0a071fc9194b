"""What a file says about a node beside its edges, in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

EDGES = frozenset({"name", "kind", "source", "input", "inputs", "members", "first", "then", "targets", "outputs"})
"""Keys that say what a node is and what it takes and gives; every other one is a setting."""
_ELSEWHERE = frozenset({"placement", "url", "protocol", "model", "version", "graph", "trusted_sha256"})
_MOST_ITEMS, _MOST_CHARACTERS = 4, 100


@dataclass(frozen=True, slots=True)
class Setting:
    """A key and its value as text."""

    key: str
    value: str

    def __str__(self) -> str:
        return f"{self.key} {self.value}"


def settings_of(schema: BaseModel, *, only_given: bool = False) -> tuple[Setting, ...]:
    """Everything that has an effect; long lists are counted.

    Args:
        schema: A node, or a release's args.
        only_given: Leave out what is so by default.
    """
    document = schema.model_dump(mode="json", exclude_unset=only_given)
    fields = type(schema).model_fields
    return tuple(
        Setting(key, cut(said(value), _MOST_CHARACTERS))
        for key, value in document.items()
        if key not in EDGES | _ELSEWHERE and not _is_nothing(value, fields[key].default)
    )


def said(value: object) -> str:
    """A value as a person would say it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {said(item)}" for key, item in value.items() if not _is_nothing(item))
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return " → ".join(_said_step(step) for step in value)
    if isinstance(value, list):
        few = ", ".join(map(said, value[:_MOST_ITEMS]))
        return few if len(value) <= _MOST_ITEMS else f"{few}, … ({len(value)})"
    return str(value)


def _said_step(step: Mapping[str, object]) -> str:
    """An operation and what it is given."""
    op, *given = (
        said(value) if key == "op" else f"{key} {said(value)}" for key, value in step.items() if not _is_nothing(value)
    )
    return f"{op}({', '.join(given)})" if given else op


def _is_nothing(value: object, default: object = None) -> bool:
    return value is None or value in ("", [], {}) or (not value and value == default)


def cut(text: str, most: int) -> str:
    """The text, or its beginning with an ellipsis, in at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
