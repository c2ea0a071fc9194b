from __future__ import annotations

import logging

from support.controllers import Clock, MemoryStore

from serve_app.observability.metrics import NoMetrics
from serve_app.release.events import MAX_SHOWN, Events
from serve_app.release.journal import Journal


async def test_an_event_is_logged_kept_and_shown(caplog):
    store = MemoryStore()
    journal = Journal(store)
    events = Events(journal, NoMetrics(), Clock(5.0))
    with caplog.at_level(logging.INFO, "serve_app.audit"):
        events.happened(events.made("step", "digits", "ann", "moved"))
    await journal.write(1)
    assert [event.text for event in events.last] == ["moved"]
    assert [event.actor for event in store.all_events.values()] == ["ann"]
    assert '"moved"' in caplog.text


def test_events_of_one_moment_have_names_of_their_own_and_the_newest_is_shown_first():
    events = Events(Journal(MemoryStore()), NoMetrics(), Clock(5.0))
    for number in range(MAX_SHOWN + 3):
        events.happened(events.made("step", "digits", "ann", str(number)))
    assert len({event.id for event in events.last}) == MAX_SHOWN
    assert events.last[0].text == str(MAX_SHOWN + 2)
