"""The batch that a thread executes."""

from __future__ import annotations

from threading import Thread

from serve_app.batching.executing import Executing, current, executing


def test_it_is_the_threads_own_and_over_with_its_block():
    seen = []
    with executing(Executing()) as batch:
        current().left_out["a"] = "why"
        thread = Thread(target=lambda: seen.append(current().left_out))
        thread.start()
        thread.join()
    assert batch.left_out == {"a": "why"}
    assert seen == [{}]
    assert current().left_out == {}
