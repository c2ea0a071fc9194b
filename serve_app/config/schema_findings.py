"""What a pydantic schema finds wrong with plain data, said for the person who wrote the YAML.

Pydantic names union members and key markers in its locations and speaks of inputs, dictionaries and fields; here every
finding stands at a path that exists in the document (or would, for a missing key) and names the value it found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from serve_app.config.located import KeyPath, at
from serve_app.config.unknown_keys import Finding, unknown_keys

Schema = TypeVar("Schema", bound=BaseModel)

_MAPPING_TYPES = frozenset({"model_type", "model_attributes_type", "dict_type", "mapping_type", "dataclass_type"})
_LIST_TYPES = frozenset({"list_type", "tuple_type"})
_NOISE = re.compile(r", unable to (parse|interpret) .*$| after validation")
_SUBJECT = re.compile(r"^(Input|String|Dictionary|Mapping|List|Tuple|Value) should ")


class _KeyNames:
    """Keys that are neither text nor integers: pydantic's locations have their repr, a document's paths their text.

    Read once for every mapping of one document: a large one with an error at each key would else take its square.
    """

    def __init__(self) -> None:
        self._by_mapping: dict[int, dict[str, str]] = {}

    def spelled(self, container: Mapping[object, object], key: str | int) -> KeyPath:
        """`key` as a document's paths have it, empty if it is not in `container`."""
        if key in container:
            return (key,)
        if id(container) not in self._by_mapping:
            odd = [other for other in container if not isinstance(other, str | int)]
            self._by_mapping[id(container)] = {repr(other): str(other) for other in odd}
        name = self._by_mapping[id(container)].get(str(key))
        return () if name is None else (name,)


def validate(schema: type[Schema], data: object, path: KeyPath = ()) -> tuple[Schema | None, list[Finding]]:
    """Read `data`, which stands at `path`, as `schema`; None beside the findings if that cannot be done."""
    findings = list(unknown_keys(schema, data, path))
    try:
        return schema.model_validate(data), findings
    except ValidationError as error:
        return None, findings + error_findings(error, data, path)


def error_findings(error: ValidationError, data: object, path: KeyPath = ()) -> list[Finding]:
    """Every error but unknown keys (`unknown_keys` names them better), those of one union's members in one message."""
    messages: dict[KeyPath, list[str]] = {}
    names = _KeyNames()
    for detail in error.errors(include_url=False):
        if detail["type"] == "extra_forbidden":
            continue
        where = _real_path(detail["loc"], data, names, is_missing=detail["type"] == "missing")
        said = messages.setdefault((*path, *where), [])
        if (message := _message(detail)) not in said:
            said.append(message)
    return [
        (where, "; or ".join(said) if len(said) > 1 else said[0] + _advice(where[len(path) :], said[0], data))
        for where, said in messages.items()
    ]


def _advice(where: KeyPath, message: str, data: object) -> str:
    is_scalar = not isinstance(at(data, where), Mapping | list | None)
    is_unquoted = message.startswith("the key must be a valid string") or (
        message.startswith("must be a valid string") and is_scalar
    )
    return "; put it in quotes" if is_unquoted else ""


def _real_path(loc: tuple[str | int, ...], data: object, names: _KeyNames, is_missing: bool) -> KeyPath:
    """`loc` without what is not in the document: union members, `[key]`, names of validators."""
    path: KeyPath = ()
    for position, key in enumerate(loc):
        container = at(data, path)
        is_there = isinstance(container, list) and isinstance(key, int)
        if is_there or (is_missing and position == len(loc) - 1):
            path = (*path, key)
        elif isinstance(container, Mapping):
            path = (*path, *names.spelled(container, key))
    return path


def _message(detail: ErrorDetails) -> str:
    kind, value = detail["type"], detail["input"]
    if kind == "missing":
        return "required key is missing"
    if kind in ("value_error", "assertion_error"):
        return str(detail["ctx"]["error"])
    if kind in _MAPPING_TYPES:
        return f"must be a mapping, not {shown(value)}"
    if kind in _LIST_TYPES:
        return f"must be a list, not {shown(value)}"
    text = _NOISE.sub("", _SUBJECT.sub("must ", detail["msg"]))
    text = text if ", not " in text else f"{text}, not {shown(value)}"
    prefix = "the key " if detail["loc"][-1:] == ("[key]",) else ""
    return f"{prefix}{text}"


def shown(value: object) -> str:
    """A value as YAML would have it, at most 60 characters long."""
    text = json.dumps(value, default=str, ensure_ascii=False, skipkeys=True)
    return text if len(text) <= 60 else f"{text[:57]}..."
