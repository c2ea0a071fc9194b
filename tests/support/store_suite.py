"""What a store does, whatever database is below it: a test module that imports these gives them fixture `url`.

The fixture's value is the URL of an empty database; `url` may be opened any number of times.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from serve_app.errors import ConfigError, ControllerAway
from serve_app.release.database import Database
from serve_app.release.migrating import migrate
from serve_app.release.records import Forgotten, LockRecord, Phase, Saved
from serve_app.release.store import Delivery, Settled, Store
from serve_app.release.tables import TABLES
from support.records import RETIREMENT, UNLOADED, counts, event, rollout

HOOK, OTHER_HOOK = "http://hook/a", "http://hook/b"


class Clock:
    now_s = 5000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[Store]:
    with closing(Store.open(url, urls=(HOOK, OTHER_HOOK), clock=clock)) as opened:
        yield opened


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with closing(Database(url)) as opened:
        yield opened


def at_once(count: int, work: Callable[[int], object]) -> list[object]:
    """What `work` gave in as many threads, which begin together."""
    begin = threading.Barrier(count)

    def one(number: int) -> object:
        begin.wait()
        return work(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(one, range(count)))


class StoreSuite:
    def test_an_empty_database_holds_nothing(self, store):
        assert store.load() == Saved()
        assert store.events(10) == []
        assert store.rollouts("digits", 10) == []

    def test_every_kind_of_record_comes_back_as_it_was(self, store, url):
        changes = [rollout(), counts(), RETIREMENT, UNLOADED, event()]
        store.save(changes, revision=7)
        with closing(Store.open(url)) as later:
            saved = later.load()
            assert saved == Saved(7, (rollout(),), (counts(),), (RETIREMENT,), (UNLOADED,))
            assert later.events(10) == [event()]

    def test_saving_twice_is_saving_once(self, store):
        changes = [rollout(), counts(), RETIREMENT, UNLOADED, event()]
        store.save(changes, 1)
        before = store.load()
        store.save(changes, 1)
        assert store.load() == before
        assert store.events(10) == [event()]
        assert len(store.due([HOOK], 0, 10)) == 1

    def test_a_record_replaces_the_one_of_its_key(self, store):
        store.save([rollout(), counts(), counts(gateway="g2")], revision=1)
        ended = rollout(phase=Phase.SUCCEEDED, ended_s=1200.0)
        postponed = replace(RETIREMENT, at_s=1700.0)
        store.save([counts(requests=8), ended, RETIREMENT, postponed])
        saved = store.load()
        assert saved == Saved(1, (ended,), (counts(requests=8), counts(gateway="g2")), (postponed,))

    def test_changes_are_made_in_their_order(self, store):
        store.save([counts(requests=1), counts(requests=2), Forgotten("counts", "r1/1"), counts(requests=3)])
        store.save([RETIREMENT, Forgotten("retirement", "digits-v1")])
        assert store.load() == Saved(counts=(counts(requests=3),))

    def test_what_is_forgotten_is_gone_and_nothing_else(self, store):
        stays = replace(RETIREMENT, release="cats-v1")
        store.save([counts(), counts(version="v1"), counts("r2/1"), RETIREMENT, stays, UNLOADED])
        store.save(
            [
                *(Forgotten("counts", "r1/1"), Forgotten("retirement", "digits-v1")),
                *(Forgotten("unloaded", "digits-v1"), Forgotten("unloaded", "never-was")),
            ]
        )
        assert store.load() == Saved(counts=(counts("r2/1"),), retirements=(stays,))

    def test_a_save_is_kept_whole_or_not_at_all(self, store, database):
        with database.writing() as connection:
            connection.execute(text("ALTER TABLE serve_app_unloaded RENAME TO elsewhere"))
        with pytest.raises(ControllerAway, match="serve_app_unloaded"):
            store.save([event(), RETIREMENT, UNLOADED], revision=3)
        with database.writing() as connection:
            connection.execute(text("ALTER TABLE elsewhere RENAME TO serve_app_unloaded"))
        assert store.load() == Saved()
        assert store.events(10) == []

    def test_what_databases_do_not_take_as_text_is_kept(self, store):
        odd = event("e1", text="a\0b", details={"value": float("inf"), "nothing": {}})
        store.save([odd, rollout(reason="\x00"), Forgotten("unloaded", "a\0b"), event("e2", model="a\0\udc80")])
        assert store.events(10) == [event("e2", model="a\0?"), odd]
        assert store.load().rollouts[0].reason == "\0"
        assert store.events(10, "a\0\udc80") == [event("e2", model="a\0?")]

    def test_what_json_has_no_word_for_is_a_fault_of_the_caller(self, store):
        with pytest.raises(TypeError):
            store.save([RETIREMENT, event(details={"lock": threading.Lock()})])
        assert store.load() == Saved()

    def test_a_thousand_records_are_one_save(self, store):
        many = tuple(counts(gateway=f"g{number:04}") for number in range(1000))
        store.save(many)
        assert store.load().counts == many

    def test_events_come_newest_first_and_those_of_one_second_in_their_order(self, store):
        first, second, other = event("b", 1.0), event("a", 1.0), event("c", 2.0, "cats")
        store.save([other, first, second])
        assert store.events(10) == [other, second, first]
        assert store.events(2) == [other, second]
        assert store.events(10, "digits") == [second, first]
        assert store.events(10, "dogs") == []

    def test_loaded_are_the_rollouts_under_way_and_the_last_of_each_model(self, store):
        over = {"phase": Phase.ROLLED_BACK}
        first, second = rollout("r1", started_s=1.0, **over), rollout("r2", started_s=2.0, **over)
        waiting = rollout("r0", started_s=0.0, phase=Phase.PAUSED)
        cats = rollout("r3", model="cats", started_s=0.5, **over)
        store.save([second, first, waiting, cats])
        assert store.load().rollouts == (waiting, cats, second)
        assert store.rollouts("digits", 10) == [second, first, waiting]
        assert store.rollouts("digits", 1) == [second]

    def test_a_lock_is_one_owners_until_it_expires_or_is_given_back(self, store):
        assert store.acquire_lock("apply", "ann", 100.0, 30.0) == LockRecord("ann", 130.0)
        assert store.acquire_lock("apply", "bob", 129.9, 30.0) == LockRecord("ann", 130.0)
        assert store.acquire_lock("apply", "ann", 120.0, 30.0) == LockRecord("ann", 150.0)
        assert store.acquire_lock("other", "bob", 120.0, 30.0) == LockRecord("bob", 150.0)
        assert store.acquire_lock("apply", "bob", 150.0, 5.0) == LockRecord("bob", 155.0)
        store.release_lock("apply", "ann")  # it is not hers any more
        assert store.acquire_lock("apply", "ann", 151.0, 30.0) == LockRecord("bob", 155.0)
        store.release_lock("apply", "bob")
        assert store.acquire_lock("apply", "ann", 151.0, 30.0) == LockRecord("ann", 181.0)

    def test_of_many_who_take_a_lock_at_once_one_has_it(self, store):
        for turn in range(5):
            found = at_once(4, lambda who: store.acquire_lock("apply", f"p{who}", 100.0 * turn, 30.0))  # noqa: B023
            assert len(set(found)) == 1

    def test_pruning_keeps_what_is_new_under_way_or_the_last_of_its_model(self, store, clock):
        old, last = rollout("r1", started_s=1.0, ended_s=2.0, phase=Phase.FAILED), rollout("r3", started_s=3.0)
        under_way = rollout("r2", started_s=2.0, phase=Phase.WAITING)
        only = rollout("r0", model="cats", started_s=0.1, ended_s=0.2, phase=Phase.SUCCEEDED)
        clock.now_s = 10.0
        store.save([old, last, under_way, only, counts("w-old"), counts("w-old", gateway="gone")])
        store.save([counts("w-new", gateway="gone"), event("old", 10.0), event("new", 20.0)])
        clock.now_s = 20.0
        store.save([counts("w-new")])
        store.settle([Settled(delivery) for delivery in store.due([HOOK, OTHER_HOOK], 0, 10)])
        store.prune(20.0)
        assert store.rollouts("digits", 10) == [last, under_way]
        assert store.rollouts("cats", 10) == [only]
        assert store.events(10) == [event("new", 20.0)]
        assert store.load().counts == (counts("w-new"), counts("w-new", gateway="gone"))

    def test_pruning_keeps_events_that_urls_of_today_must_still_be_told(self, store, url):
        store.save([event("told", 1.0), event("untold", 1.0)])
        hook, other = store.due([HOOK, OTHER_HOOK], 0, 1)
        store.settle([Settled(hook)])
        with closing(Store.open(url, urls=(HOOK,))) as later:
            later.prune(100.0)
            assert later.events(10) == [event("untold", 1.0)]
            assert later.due([HOOK, other.url], 0, 10) == [Delivery(event("untold", 1.0), HOOK)]

    def test_every_url_is_told_every_event_once_it_is_saved(self, store):
        first, second = event("e2", 1.0), event("e1", 2.0)
        store.save([first, second])
        assert store.due([HOOK, OTHER_HOOK], 0, 10) == [
            *(Delivery(first, HOOK), Delivery(second, HOOK)),
            *(Delivery(first, OTHER_HOOK), Delivery(second, OTHER_HOOK)),
        ]
        assert store.due([HOOK], 0, 1) == [Delivery(first, HOOK)]
        assert store.due([], 0, 1) == []

    def test_attempts_that_failed_are_due_later_and_others_never_again(self, store):
        store.save([event("e1"), event("e2")])
        first, second = store.due([HOOK], 0, 10)
        store.settle([Settled(first, next_at_s=50.0), Settled(second)])
        assert store.due([HOOK], 49.9, 10) == []
        assert store.due([HOOK], 50.0, 10) == [Delivery(event("e1"), HOOK, attempts=1)]
        store.save([event("e2")])  # repeated, because the first answer was lost
        assert store.due([HOOK], 49.9, 10) == []
        assert len(store.due([OTHER_HOOK], 0, 10)) == 2

    def test_an_event_that_was_not_kept_is_told_to_nobody(self, store, database):
        with database.writing() as connection:
            connection.execute(text("ALTER TABLE serve_app_deliveries RENAME TO elsewhere"))
        with pytest.raises(ControllerAway):
            store.save([event()])
        assert store.events(10) == []

    def test_the_steps_make_the_tables_that_the_code_knows(self, store, database):
        with database.reading() as connection:
            options = {"include_name": lambda name, kind, _: kind != "table" or name != "serve_app_version"}
            assert compare_metadata(MigrationContext.configure(connection, opts=options), TABLES) == []

    def test_opening_again_changes_nothing(self, store, url):
        store.save([RETIREMENT])
        with closing(Store.open(url)) as again:
            assert again.load() == Saved(retirements=(RETIREMENT,))

    def test_a_database_of_newer_code_is_refused_and_left_alone(self, store, url, database):
        with database.writing() as connection:
            connection.execute(text("UPDATE serve_app_version SET version_num = '9999'"))
        for _ in range(2):
            with pytest.raises(ConfigError, match=r"written by a newer serve-app: its schema is 9999, .* up to 0001"):
                Store.open(url)

    def test_many_threads_may_open_an_empty_database_at_once(self, url):
        for opened in at_once(4, lambda _: Store.open(url)):
            with closing(opened) as one:
                assert one.load() == Saved()

    def test_steps_that_fail_leave_nothing_behind(self, url, database):
        def migrate_and_fail() -> None:
            with database.writing() as connection:
                migrate(connection, "it")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            migrate_and_fail()
        with closing(Store.open(url)) as opened:
            assert opened.load() == Saved()
