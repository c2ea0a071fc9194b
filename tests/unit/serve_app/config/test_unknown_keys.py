"""Unknown keys at any depth."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from serve_app.config.unknown_keys import unknown_keys


class Leaf(BaseModel):
    size: int = 0
    colour: str = ""


class OtherLeaf(BaseModel):
    weight: int = 0


class Tree(BaseModel):
    name: str = ""
    leaf: Leaf = Leaf()
    maybe: Leaf | None = None
    loose: dict[str, Any] | Leaf = {}
    either: Leaf | OtherLeaf = Leaf()
    many: list[Leaf] = []
    named: dict[str, Leaf] = {}
    noted: list[Annotated[Leaf, "note"]] = []
    free: dict[str, Any] = {}
    bare: dict = {}
    renamed: int = Field(default=0, alias="other")


def found(data):
    return [".".join(map(str, path)) for path, _ in unknown_keys(Tree, data)]


def test_known_keys_are_not_reported():
    assert found({"name": 1, "leaf": {"size": 1}, "other": 3}) == []


def test_keys_are_looked_up_wherever_a_schema_is():
    bad = {"sise": 1}
    data = {"x": 1, "leaf": bad, "maybe": bad, "loose": bad, "many": [{}, bad], "named": {"a": bad}, "noted": [bad]}
    assert found(data) == [
        "x",
        "leaf.sise",
        "maybe.sise",
        "loose.sise",
        "many.1.sise",
        "named.a.sise",
        "noted.0.sise",
    ]


def test_free_mappings_and_ambiguous_unions_are_left_alone():
    bad = {"sise": 1}
    assert found({"free": bad, "bare": bad, "either": bad}) == []


def test_what_has_the_wrong_shape_is_left_to_validation():
    assert found({"leaf": 3, "many": {"a": 1}, "named": [1], "maybe": None}) == []
    assert list(unknown_keys(Tree, ["x"])) == []


def test_the_nearest_known_key_is_suggested_if_there_is_one():
    assert list(unknown_keys(Leaf, {"coluor": 1, "zzz": 1}, ("a", 0))) == [
        (("a", 0, "coluor"), "unknown key; did you mean 'colour'?"),
        (("a", 0, "zzz"), "unknown key"),
    ]


def test_a_key_that_is_no_text_is_unknown_too():
    assert list(unknown_keys(Leaf, {1: 1})) == [((1,), "unknown key")]


class Round(BaseModel):
    kind: Literal["round"] = "round"
    radius: int = 0


class Square(BaseModel):
    kind: Literal["square"] = "square"
    side: int = 0


class Drawing(BaseModel):
    shapes: list[Annotated[Round | Square, Field(discriminator="kind")]] = []


def test_the_tag_says_which_member_of_a_union_is_meant():
    shapes = [{"kind": "round", "radius": 1, "side": 2}, {"kind": "square", "sid": 1}, {"kind": "oval", "a": 1}, 7]
    found = [(path, message) for path, message in unknown_keys(Drawing, {"shapes": shapes})]
    assert found == [
        (("shapes", 0, "side"), "unknown key"),
        (("shapes", 1, "sid"), "unknown key; did you mean 'side'?"),
    ]
