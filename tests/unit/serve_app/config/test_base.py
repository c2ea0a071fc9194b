"""Names, strictness and how a fault reads."""

import pytest
from pydantic import TypeAdapter, ValidationError

from serve_app.config.base import (
    Fault,
    Integer,
    Name,
    Number,
    PositiveFloat,
    PositiveInt,
    Sha256,
    StrictModel,
)


class Pair(StrictModel):
    left: int
    right: int = 0


def test_a_fault_reads_as_file_line_path_message():
    assert str(Fault("a.yaml", 3, "b.0.c", "wrong")) == "a.yaml:3: b.0.c: wrong"
    assert str(Fault("a.yaml", 3, "", "wrong")) == "a.yaml:3: wrong"


def test_faults_sort_by_line_not_by_text():
    assert sorted([Fault("a", 10, "x", "m"), Fault("a", 9, "y", "m")])[0].line == 9


def test_an_unknown_key_is_refused():
    with pytest.raises(ValidationError, match="Extra inputs"):
        Pair.model_validate({"left": 1, "rihgt": 2})


def test_a_schema_does_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        Pair(left=1).left = 2


@pytest.mark.parametrize("name", ["v1", "2024-06-01", "a.b_c", "A"])
def test_names_that_fit_urls_and_ray_are_taken(name):
    assert TypeAdapter(Name).validate_python(name) == name


@pytest.mark.parametrize("name", ["", "-a", ".a", "a/b", "a b", "../x", "a\n", "ä", "a" * 129])
def test_other_names_are_refused(name):
    with pytest.raises(ValidationError):
        TypeAdapter(Name).validate_python(name)


@pytest.mark.parametrize("digest", ["", "a" * 63, "A" * 64, "g" * 64, "a" * 65])
def test_only_lower_case_hex_of_64_characters_is_a_digest(digest):
    with pytest.raises(ValidationError):
        TypeAdapter(Sha256).validate_python(digest)


@pytest.mark.parametrize("kind", [Integer, Number, PositiveInt, PositiveFloat])
def test_a_boolean_is_no_number(kind):
    assert TypeAdapter(kind).validate_python(1) == 1
    with pytest.raises(ValidationError, match="must be a number, not true"):
        TypeAdapter(kind).validate_python(True)
