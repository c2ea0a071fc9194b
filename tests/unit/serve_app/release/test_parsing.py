"""Commands and feedback from JSON, and the sentences that refuse them."""

from __future__ import annotations

import pytest

from serve_app.errors import InvalidInput, MalformedBody
from serve_app.release.commands import Promote, StartRollout
from serve_app.release.messages import Feedback
from serve_app.release.parsing import MAX_ITEMS, VERBS, command_of, feedback_of


def test_the_verb_says_which_command_it_is():
    assert command_of({"verb": "promote", "model": "digits", "force": True}) == Promote(model="digits", force=True)
    started = command_of(
        {"verb": "start", "model": "digits", "traffic": {"v2": 100}, "rollout": {"strategy": "blue_green"}}
    )
    assert isinstance(started, StartRollout)
    assert started.rollout.strategy == "blue_green"


def test_every_command_has_a_verb_of_its_own():
    assert len(set(VERBS)) == len(VERBS) == 13


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({}, "it needs a verb"),
        ({"verb": "explode"}, 'verb: must be one of start, .* unregister, not "explode"'),
        ({"verb": "promote"}, "model: Field required"),
        ({"verb": "promote", "model": "a b"}, 'model: .*, not "a b"'),
        ({"verb": "promote", "model": "m", "now": 1}, "now: there is no such field"),
        ({"verb": "start", "model": "m", "traffic": {"v1": 90}}, "traffic weights sum up to 90, not to 100"),
        ({"verb": "start", "model": "m", "traffic": {"v1": 101}}, "traffic.v1: .*100, not 101"),
        (
            {"verb": "start", "model": "m", "traffic": {"v1": 100}, "rollout": {"strategy": "slowly"}},
            'rollout.strategy: .*, not "slowly"',
        ),
        ({"verb": "lock", "owner": 3}, "owner: Input should be a valid string, not 3"),
    ],
)
def test_a_wrong_command_names_the_field(document, says):
    with pytest.raises(MalformedBody, match=says):
        command_of(document)


def test_a_sentence_has_a_bound():
    with pytest.raises(MalformedBody) as caught:
        command_of({"verb": "promote", "model": "m" * 10_000, **{f"x{n:03}": 1 for n in range(500)}})
    assert "and 496 more" in str(caught.value)
    assert len(str(caught.value)) < 3000


@pytest.mark.parametrize(
    ("document", "items"),
    [
        ({"request_id": "r1", "label": "cat"}, [Feedback("r1", label="cat")]),
        ({"request_id": "r1", "label": 3}, [Feedback("r1", label="3")]),
        ({"request_id": "r1", "label": True}, [Feedback("r1", label="true")]),
        ({"request_id": "r1", "value": 0}, [Feedback("r1", value=0.0)]),
        (
            {"items": [{"request_id": "a", "label": 1}, {"request_id": "b", "value": -1.5}]},
            [Feedback("a", label="1"), Feedback("b", value=-1.5)],
        ),
    ],
)
def test_feedback_is_a_label_or_a_number(document, items):
    assert list(feedback_of(document)) == items


GOOD = {"request_id": "r", "value": 1}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({}, "request_id must be the text"),
        ({"request_id": 3, "label": 1}, "request_id must be the text .* not 3"),
        ({"request_id": "r" * 129, "label": 1}, "request_id must be the text of 1 to 128 characters"),
        ({"request_id": "r"}, "label or value must be given: neither is there"),
        ({"request_id": "r", "label": 1, "value": 1}, "label or value must be given: not both"),
        ({"request_id": "r", "label": 1.5}, "label must be a text, an integer or a boolean, not 1.5"),
        ({"request_id": "r", "label": "x" * 129}, "label has 129 characters, the limit is 128"),
        ({"request_id": "r", "value": True}, "value must be a finite number, not true"),
        ({"request_id": "r", "value": float("inf")}, "value must be a finite number"),
        ({"request_id": "r", "value": 10**400}, "value must be a finite number"),
        ({"request_id": "r", "value": "1"}, 'value must be a finite number, not "1"'),
        ({"request_id": "r", "lable": 1}, "lable is no field of feedback"),
        ({"items": []}, f"items must be a list of 1 to {MAX_ITEMS} objects, not 0 of them"),
        ({"items": [GOOD] * (MAX_ITEMS + 1)}, f"not {MAX_ITEMS + 1} of them"),
        ({"items": {}}, "items must be a list of 1 to"),
        ({"items": [GOOD, 3]}, r"items\[1\] must be an object, not 3"),
        ({"items": [GOOD, {"request_id": "r"}]}, r"items\[1\].label or items\[1\].value must be given"),
        ({"items": [GOOD], "request_id": "r"}, 'beside items there must be nothing, not "request_id"'),
    ],
)
def test_wrong_feedback_names_the_item_and_the_field(document, says):
    with pytest.raises((InvalidInput, MalformedBody), match=says):
        feedback_of(document)
