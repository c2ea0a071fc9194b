from __future__ import annotations

from support.controllers import MemoryStore

from serve_app.release.counts import ArmCounts
from serve_app.release.journal import MAX_HELD_EVENTS, Journal
from serve_app.release.records import CountsRecord, Event, Forgotten, Retirement


def event(number: int) -> Event:
    return Event(str(number), 1.0, "step", "digits", "ann", "moved")


async def test_changes_are_kept_in_one_transaction_and_the_last_of_a_thing_counts():
    store = MemoryStore()
    journal = Journal(store)
    for requests in (1, 2):
        journal.add(CountsRecord("w", "v1", "a", ArmCounts(requests=requests)))
    journal.add(event(1))
    assert await journal.write(7)
    assert (store.saves, store.revision) == (1, 7)
    assert store.counts["w", "v1", "a"].counts.requests == 2
    assert await journal.write(8)
    assert store.saves == 1


async def test_what_cannot_be_kept_waits_and_is_kept_later():
    store = MemoryStore()
    journal = Journal(store)
    store.away = "connection refused"
    journal.add(event(1))
    assert not await journal.write(1)
    assert journal.fault == "connection refused"
    store.away = ""
    assert await journal.write(1)
    assert (journal.fault, list(store.all_events)) == ("", ["1"])


async def test_a_change_that_must_be_kept_first_is_dropped_where_it_cannot_be():
    store = MemoryStore()
    journal = Journal(store)
    store.away = "disk full"
    assert not await journal.keep(1, event(1))
    store.away = ""
    assert await journal.write(1)
    assert store.all_events == {}
    assert await journal.keep(1, event(2))
    assert list(store.all_events) == ["2"]


async def test_a_thing_that_is_forgotten_after_all_is_not_kept():
    store = MemoryStore()
    journal = Journal(store)
    journal.add(Retirement("digits-v1", 5.0))
    journal.add(Forgotten("retirement", "digits-v1"))
    await journal.write(1)
    assert store.retirements == {}


async def test_events_wait_within_a_bound():
    store = MemoryStore()
    journal = Journal(store)
    journal.add(*(event(number) for number in range(MAX_HELD_EVENTS + 2)))
    await journal.write(1)
    assert len(store.all_events) == MAX_HELD_EVENTS
    assert "0" not in store.all_events
