"""What is quick enough for the event loop."""

from serve_app.batching.quick import FIRST_IN_THREAD, INLINE_S, TRIALS, TRIED_AGAIN, Quickness

QUICK, SLOW = INLINE_S / 10, INLINE_S * 10


def seen(
    *, took: float, computed: float = 0.0, rows: int = 1, times: int = FIRST_IN_THREAD, in_loop: bool = False, of=None
):
    subject = of or Quickness()
    for _ in range(times):
        subject.observe(rows, took, computed if in_loop else None)
    return subject


def test_nothing_is_quick_before_it_was_executed_often_enough_in_a_thread():
    assert not Quickness().says(1)
    assert not seen(took=QUICK, computed=QUICK, times=FIRST_IN_THREAD - 1).says(1)
    assert seen(took=QUICK, computed=QUICK).says(1)


def test_a_size_is_judged_by_itself_within_a_power_of_two():
    subject = seen(took=QUICK, computed=QUICK, rows=5)
    assert [subject.says(rows) for rows in (4, 5, 8, 9)] == [False, True, True, False]


def test_threads_that_are_held_up_do_not_count_if_one_was_not():
    subject = seen(took=SLOW, computed=QUICK)
    assert not subject.says(1)
    assert seen(took=QUICK, computed=QUICK, times=1, of=subject).says(1)


def test_a_model_that_waits_is_not_quick_though_it_computes_nothing():
    assert not seen(took=SLOW, computed=0.0).says(1)
    subject = seen(took=QUICK, computed=0.0)  # it did not have to wait so far
    assert not seen(took=SLOW, computed=0.0, times=TRIALS, in_loop=True, of=subject).says(1)


def test_who_else_has_the_processor_now_and_then_makes_nothing_slow():
    subject = seen(took=QUICK, computed=QUICK)
    seen(took=QUICK, computed=QUICK, times=20, in_loop=True, of=subject)
    assert seen(took=SLOW, computed=SLOW, times=2, in_loop=True, of=subject).says(1)


def test_what_computes_too_long_in_the_event_loop_leaves_it_and_is_tried_again_later():
    subject = seen(took=QUICK, computed=QUICK)
    seen(took=SLOW, computed=SLOW, times=TRIALS, in_loop=True, of=subject)
    assert not subject.says(1)
    assert not seen(took=SLOW, computed=SLOW, times=TRIED_AGAIN, of=subject).says(1)
    assert seen(took=SLOW, computed=SLOW, times=1, of=subject).says(1)


def test_who_is_slow_now_and_then_does_not_hold_the_event_loop():
    subject = seen(took=QUICK, computed=QUICK, times=64, in_loop=True, of=seen(took=QUICK, computed=QUICK))
    assert subject.says(1)
    assert seen(took=1.0, computed=1.0, times=1, in_loop=True, of=subject).says(1)  # a collection of garbage
    assert not seen(took=1.0, computed=1.0, times=1, in_loop=True, of=subject).says(1)
