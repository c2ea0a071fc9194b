"""Pydantic's errors in the words and at the places of the YAML file."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal

import pytest
from pydantic import Field, PositiveInt, model_validator

from serve_app.config.base import Name, StrictModel
from serve_app.config.schema_findings import shown, validate


class Cat(StrictModel):
    kind: Literal["cat"]
    lives: PositiveInt = 9


class Dog(StrictModel):
    kind: Literal["dog"]
    tricks: tuple[str, ...] = ()


class Zoo(StrictModel):
    name: str = "zoo"
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] = Cat(kind="cat")
    size: int | bool | None = None
    cats: tuple[Cat, ...] = Field(default=(), max_length=1)
    weights: Mapping[Name, float] = {}
    parts: dict[str, int] | str = ""

    @model_validator(mode="after")
    def _not_cursed(self):
        if self.name == "cursed":
            raise ValueError("a cursed zoo")
        return self


def findings(data):
    return [(".".join(map(str, path)), message) for path, message in validate(Zoo, data, ("zoo",))[1]]


def test_good_data_becomes_the_schema():
    zoo, found = validate(Zoo, {"name": "a"})
    assert (zoo.name, found) == ("a", [])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"name": 3}, ("zoo.name", "must be a valid string, not 3; put it in quotes")),
        ({"name": date(2024, 6, 1)}, ("zoo.name", 'must be a valid string, not "2024-06-01"; put it in quotes')),
        ({"name": None}, ("zoo.name", "must be a valid string, not null")),
        ({"name": ["a"]}, ("zoo.name", 'must be a valid string, not ["a"]')),
        ({"name": "cursed"}, ("zoo", "a cursed zoo")),
        (
            {"pet": {"kind": "dog", "tricks": [1]}},
            ("zoo.pet.tricks.0", "must be a valid string, not 1; put it in quotes"),
        ),
        ({"pet": {"kind": "cat", "lives": 0}}, ("zoo.pet.lives", "must be greater than 0, not 0")),
        ({"pet": 3}, ("zoo.pet", "must be a mapping, not 3")),
        ({"size": "x"}, ("zoo.size", 'must be a valid integer, not "x"; or must be a valid boolean, not "x"')),
        ({"cats": 1}, ("zoo.cats", "must be a list, not 1")),
        ({"cats": [{}]}, ("zoo.cats.0.kind", "required key is missing")),
        ({"weights": {"a": "x"}}, ("zoo.weights.a", 'must be a valid number, not "x"')),
        ({"weights": {1: 1.0}}, ("zoo.weights.1", "the key must be a valid string, not 1; put it in quotes")),
        ({"weights": {1.5: 1.0}}, ("zoo.weights.1.5", "the key must be a valid string, not 1.5; put it in quotes")),
        (
            {"weights": {date(2024, 6, 1): 1.0}},
            ("zoo.weights.2024-06-01", 'the key must be a valid string, not "2024-06-01"; put it in quotes'),
        ),
        ({"parts": [1]}, ("zoo.parts", "must be a mapping, not [1]; or must be a valid string, not [1]")),
        ({"nam": "a"}, ("zoo.nam", "unknown key; did you mean 'name'?")),
        (None, ("zoo", "must be a mapping, not null")),
        ([1], ("zoo", "must be a mapping, not [1]")),
    ],
)
def test_each_error_stands_at_a_path_of_the_document_and_names_the_value(data, expected):
    assert findings(data) == [expected]


def test_all_errors_come_at_once():
    assert [path for path, _ in findings({"nam": 1, "name": 1, "cats": 2, "weights": 3})] == [
        "zoo.nam",
        "zoo.name",
        "zoo.cats",
        "zoo.weights",
    ]


def test_a_limit_on_length_is_not_followed_by_the_whole_list():
    (found,) = findings({"cats": [{"kind": "cat"}, {"kind": "cat"}]})
    assert found == ("zoo.cats", "must have at most 1 item, not 2")


def test_a_shown_value_is_short():
    assert shown("x" * 100) == '"' + "x" * 56 + "..."
    assert shown({date(2024, 1, 1): True}) == "{}"
