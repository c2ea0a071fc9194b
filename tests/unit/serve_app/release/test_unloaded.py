from __future__ import annotations

import pytest
from support.controllers import MemoryStore

from serve_app.errors import ControllerAway
from serve_app.release.journal import Journal
from serve_app.release.records import UnloadedApplication
from serve_app.release.unloaded import UnloadedApplications

DIGITS = UnloadedApplication("digits-v1", {"name": "digits-v1"})


async def test_what_was_unloaded_is_known_to_the_next_controller_until_it_is_loaded():
    store = MemoryStore()
    journal = Journal(store)
    unloaded = UnloadedApplications(journal)
    await unloaded.remember([DIGITS])
    again = UnloadedApplications(journal)
    again.restore(store.load().unloaded)
    assert await again.recall() == (DIGITS,)
    await again.forget(["digits-v1", "cats-v1"])
    await journal.write(None)
    assert await again.recall() == ()
    assert store.load().unloaded == ()


async def test_what_cannot_be_kept_is_not_remembered():
    store = MemoryStore()
    store.away = "disk full"
    unloaded = UnloadedApplications(Journal(store))
    with pytest.raises(ControllerAway, match="disk full"):
        await unloaded.remember([DIGITS])
    assert await unloaded.recall() == ()
