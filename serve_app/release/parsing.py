"""Commands and feedback as they come in: JSON, refused with a sentence that names what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Annotated, get_args

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from serve_app.config.schema_findings import shown
from serve_app.errors import InvalidInput, MalformedBody
from serve_app.release.commands import Command
from serve_app.release.messages import MAX_LABEL, MAX_REQUEST_ID, Feedback

MAX_ITEMS = 500
"""Of one body of feedback: with identities of 100 characters, what fits a page's body."""

_COMMANDS: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="verb")])
_MAX_FAULTS = 5

VERBS = tuple(str(kind.model_fields["verb"].default) for kind in get_args(Command))
"""Those that a command can have."""


def command_of(document: Mapping[str, object]) -> Command:
    """The command that a JSON object is.

    Raises:
        MalformedBody: It is none; the sentence has the fields and what is wrong with them.
    """
    try:
        return _COMMANDS.validate_python(document)
    except ValidationError as error:
        raise MalformedBody(f"the command cannot be read: {sentence_of(error)}") from None


def sentence_of(error: ValidationError) -> str:
    """The first faults that a schema found, each with its field."""
    faults = error.errors(include_url=False)
    more = [f"and {len(faults) - _MAX_FAULTS} more"] if len(faults) > _MAX_FAULTS else []
    return "; ".join([_fault(fault) for fault in faults[:_MAX_FAULTS]] + more)


def _fault(fault: ErrorDetails) -> str:
    if fault["type"] == "union_tag_not_found":
        return "it needs a verb"
    if fault["type"] == "union_tag_invalid":
        return f"verb: must be one of {', '.join(VERBS)}, not {shown(fault['ctx']['tag'])}"
    where = ".".join(map(str, fault["loc"][1:] if len(fault["loc"]) > 1 else fault["loc"]))
    says = str(fault["ctx"]["error"]) if fault["type"] == "value_error" else fault["msg"]
    value = fault["input"]
    given = "" if isinstance(value, Mapping) or fault["type"] in ("missing", "value_error") else f", not {shown(value)}"
    if fault["type"] == "extra_forbidden":
        says, given = "there is no such field", ""
    return f"{where[:100]}: {says}{given}"[:500]


def feedback_of(document: Mapping[str, object]) -> tuple[Feedback, ...]:
    """What became known about answers: one object, or `items` with up to `MAX_ITEMS` of them.

    Raises:
        MalformedBody: It is neither.
        InvalidInput: An item lacks its `request_id`, has not exactly one of `label` and `value`, or a wrong one.
    """
    if "items" not in document:
        return (_item(document, ""),)
    items = document["items"]
    if unknown := sorted(set(document) - {"items"}):
        raise MalformedBody(f"beside items there must be nothing, not {shown(unknown[0])}")
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_ITEMS:
        what = f"{len(items)} of them" if isinstance(items, list) else shown(items)
        raise InvalidInput("items", f"must be a list of 1 to {MAX_ITEMS} objects, not {what}")
    return tuple(_items(items))


def _items(items: list[object]) -> Iterable[Feedback]:
    for index, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise InvalidInput(f"items[{index}]", f"must be an object, not {shown(item)}")
        yield _item(item, f"items[{index}].")


def _item(item: Mapping[str, object], where: str) -> Feedback:
    if unknown := sorted(set(item) - {"request_id", "label", "value"}):
        raise InvalidInput(f"{where}{str(unknown[0])[:40]}", "is no field of feedback; use request_id, label or value")
    request_id = item.get("request_id")
    if not isinstance(request_id, str) or not 1 <= len(request_id) <= MAX_REQUEST_ID:
        said = f"must be the text of 1 to {MAX_REQUEST_ID} characters that the answer's x-request-id has"
        raise InvalidInput(f"{where}request_id", f"{said}, not {shown(request_id)}")
    label, value = item.get("label"), item.get("value")
    if (label is None) == (value is None):
        what = "neither is there" if label is None else "not both"
        raise InvalidInput(f"{where}label", f"or {where}value must be given: {what}")
    if label is not None:
        return Feedback(request_id, label=_label(label, where))
    return Feedback(request_id, value=_value(value, where))


def _label(label: object, where: str) -> str:
    """A label as the text that a prediction is compared as: an INT64 5 is `5`, a BOOL true is `true`."""
    if not isinstance(label, str | int):
        raise InvalidInput(f"{where}label", f"must be a text, an integer or a boolean, not {shown(label)}")
    text = str(label).lower() if isinstance(label, bool) else str(label)
    if len(text) > MAX_LABEL:
        raise InvalidInput(f"{where}label", f"has {len(text)} characters, the limit is {MAX_LABEL}")
    return text


def _value(value: object, where: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max:
        return float(value)
    raise InvalidInput(f"{where}value", f"must be a finite number, not {shown(value)}")
