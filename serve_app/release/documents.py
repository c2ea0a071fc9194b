"""Records as JSON and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import orjson
from pydantic import TypeAdapter

from serve_app.release.records import (
    CountsRecord,
    Event,
    Record,
    Retirement,
    RolloutRecord,
    UnloadedApplication,
)

Kept = TypeVar("Kept", RolloutRecord, CountsRecord, Retirement, UnloadedApplication, Event)

_ADAPTERS: dict[type[Record], TypeAdapter[Any]] = {
    kind: TypeAdapter(kind) for kind in (RolloutRecord, CountsRecord, Retirement, UnloadedApplication, Event)
}


def document_of(record: Record) -> str:
    """The record as JSON, with NaN and Infinity as Python writes them; what UTF-8 cannot carry becomes `?`.

    Raises:
        TypeError: It holds what JSON has no word for.
    """
    document = json.dumps(record, default=_plain, ensure_ascii=False)
    return document.encode("utf-8", "replace").decode()


def record_of(kind: type[Kept], document: str) -> Kept:
    """What `document_of` wrote; fields that this version of the code does not know are left out."""
    record: Kept = _ADAPTERS[kind].validate_python(json.loads(document))
    return record


def line_of(event: Event) -> bytes:
    """The event as one line of strict JSON, for people and programs elsewhere: NaN and Infinity are null."""
    return orjson.dumps(json.loads(document_of(event)))


def _plain(value: object) -> dict[str, object]:
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"JSON has no word for a {type(value).__name__}")
