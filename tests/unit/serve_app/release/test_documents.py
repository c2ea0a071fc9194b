"""Records as JSON."""

from __future__ import annotations

import json

import pytest
from support.records import RETIREMENT, UNLOADED, counts, event, rollout

from serve_app.release.documents import document_of, line_of, record_of
from serve_app.release.records import Event, Retirement, RolloutRecord


@pytest.mark.parametrize(
    "record", [rollout(), counts(), RETIREMENT, UNLOADED, event()], ids=lambda record: type(record).__name__
)
def test_every_record_comes_back_as_it_was(record):
    assert record_of(type(record), document_of(record)) == record


def test_numbers_that_json_does_not_know_come_back():
    record = rollout(verdicts=({"bound": float("inf")},))
    assert record_of(RolloutRecord, document_of(record)) == record


def test_fields_of_other_versions_of_the_code_do_no_harm():
    newer = {"release": "digits-v1", "at_s": 1600.0, "reason": "a field to come"}
    assert record_of(Retirement, json.dumps(newer)) == Retirement("digits-v1", 1600.0)


def test_an_event_is_one_line_of_strict_json():
    odd = Event(
        "e1", 1.5, "traffic", "m", "ann", "two\nlines \udc80 \0", {"nan": float("nan"), "routing": rollout().after}
    )
    line = line_of(odd)
    assert b"\n" not in line
    read = json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert read["text"] == "two\nlines ? \0"
    assert read["details"]["nan"] is None
    assert read["details"]["routing"] == {"traffic": {"v2": 100.0}, "labels": {}}


def test_what_json_has_no_word_for_is_named():
    with pytest.raises(TypeError, match="JSON has no word for a set"):
        document_of(event(details={"x": {1}}))
