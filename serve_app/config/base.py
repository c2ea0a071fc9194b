"""The strict base of every schema, and a fault with the place where it was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=128)]
"""A model's name, a version tag or a label."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, not {str(value).lower()}")
    return value


NO_BOOLEAN = BeforeValidator(_no_boolean)
"""For every number of a schema: pydantic would take true for 1."""

Integer = Annotated[int, NO_BOOLEAN]
Number = Annotated[float, NO_BOOLEAN]
PositiveInt = Annotated[int, Field(gt=0), NO_BOOLEAN]
PositiveFloat = Annotated[float, Field(gt=0), NO_BOOLEAN]


class StrictModel(BaseModel):
    """A frozen schema that refuses what it does not know: a setting that cannot take effect is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing wrong with a file.

    Attributes:
        file: As the caller named it.
        line: Counted from 1.
        path: Keys and indices from the top of the document, joined by dots; empty for the document itself.
        message: What is wrong, with the value and the limit.
    """

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{self.file}:{self.line}: {where}{self.message}"
