"""Keys that a pydantic schema does not know, at any depth, with the key that was probably meant.

Works on schemas that drop unknown keys in silence (Ray's) as well as on those that refuse them (ours).
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from serve_app.config.located import KeyPath

Finding = tuple[KeyPath, str]
"""Where something is wrong and what."""


def unknown_keys(schema: type[BaseModel], data: object, path: KeyPath = ()) -> Iterator[Finding]:
    """Yield a finding for every key that no field of `schema` takes; free mappings are not looked into.

    Args:
        schema: What `data` is to be read as.
        data: Plain data; what is not a mapping is left to the schema's own validation.
        path: Where `data` stands in its document.
    """
    if not isinstance(data, Mapping):
        return
    fields = {info.alias or name: info.annotation for name, info in schema.model_fields.items()}
    for key, value in data.items():
        if key in fields:
            yield from _within(fields[key], value, (*path, key))
        else:
            yield (*path, key), unknown_key(key, fields)


def unknown_key(key: object, known: Iterable[str]) -> str:
    """The message for `key`, naming the nearest known one if there is a near one."""
    near = difflib.get_close_matches(str(key), list(known), n=1)
    return f"unknown key; did you mean {near[0]!r}?" if near else "unknown key"


def _within(annotation: object, value: object, path: KeyPath) -> Iterator[Finding]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from unknown_keys(annotation, value, path)
        return
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _within(_tagged(arguments, value) or arguments[0], value, path)
    elif origin in (Union, types.UnionType):
        members = [member for member in arguments if _takes(member, value)]
        if len(members) == 1:  # of several schemas only the tag knows which is meant
            yield from _within(members[0], value, path)
    elif isinstance(origin, type) and arguments:
        yield from _within_container(origin, arguments, value, path)


def _within_container(origin: type, arguments: tuple[object, ...], value: object, path: KeyPath) -> Iterator[Finding]:
    if issubclass(origin, Mapping) and isinstance(value, Mapping):
        for key, item in value.items():
            yield from _within(arguments[1], item, (*path, key))
    elif issubclass(origin, list | tuple) and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _within(arguments[0], item, (*path, index))


def _tagged(arguments: tuple[object, ...], value: object) -> type[BaseModel] | None:
    """The member of a tagged union that `value` says it is."""
    tag = next((item.discriminator for item in arguments if isinstance(item, FieldInfo)), None)
    if not isinstance(tag, str) or not isinstance(value, Mapping):
        return None
    for member in get_args(arguments[0]):
        if value.get(tag) in get_args(member.model_fields[tag].annotation):
            found: type[BaseModel] = member
            return found
    return None


def _takes(member: object, value: object) -> bool:
    """Whether a member of a union has a structure of its own that `value` could have."""
    if isinstance(member, type) and issubclass(member, BaseModel):
        return isinstance(value, Mapping)
    origin = get_origin(member)
    return isinstance(origin, type) and issubclass(origin, list | tuple) and isinstance(value, list)
