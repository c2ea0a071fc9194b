"""Load in replicas that execute full batches."""

import pytest

from serve_app.autoscaling.history import Sample
from serve_app.autoscaling.load import Load, load_of
from serve_app.autoscaling.stats import ReplicaStats


def history(*queued, rows_per_s=50.0, utilisation=0.9, misses=(), capacity=100.0):
    """A report a second, with these queues; in those of `misses` requests were missed."""
    return tuple(
        Sample(float(at), ReplicaStats(rows, rows_per_s, utilisation, float(at in misses), capacity))
        for at, rows in enumerate(queued)
    )


def test_rows_count_by_what_full_batches_would_need():
    assert load_of([history(0, 0, 0)]) == Load(replicas=1, done=0.5)


def test_rows_never_count_for_more_than_the_time_spent():
    assert load_of([history(0, 0, utilisation=0.3)]).done == pytest.approx(0.3)


def test_without_latencies_time_counts():
    assert load_of([history(0, 0, capacity=0.0)]).done == pytest.approx(0.9)


def test_a_long_execution_that_ends_in_one_report_counts_for_all():
    reports = (*history(0, 0, utilisation=0.0, capacity=0.0), *history(0, utilisation=2.4, capacity=0.0))
    assert load_of([reports]).done == pytest.approx(0.8)
    assert load_of([history(0, utilisation=2.4, capacity=0.0)]).done == 1.0


def test_replicas_add_up():
    load = load_of([history(0, 0), history(0, 0, rows_per_s=80.0)])
    assert load == Load(replicas=2, done=1.3)
    assert load.per_replica == 0.65


def test_a_queue_that_grows_was_load_too():
    load = load_of([history(0, 30, 100)])
    assert load == Load(replicas=1, done=0.5, growth=0.5, backlog_s=1.0, queue_s=pytest.approx(1.3 / 3))
    assert load.arriving == 1.0


def test_a_queue_that_shrinks_was_less_load():
    load = load_of([history(50, 30, 10)])
    assert (load.growth, load.arriving) == (pytest.approx(-0.2), pytest.approx(0.3))
    assert load_of([history(900, 0, 0)]).arriving == 0


def test_rows_that_gateways_tell_every_replica_about_count_once():
    load = load_of([history(0, 100), history(0, 120)])
    assert (load.growth, load.backlog_s) == (1.2, 1.2)


def test_a_queue_stands_that_was_never_short():
    assert load_of([history(51, 400, 51)]).stands
    assert not load_of([history(400, 50, 400)]).stands
    assert load_of([history(0, 0, 0), history(60, 60, 60)]).stands


def test_misses_count_where_no_report_is_without():
    assert load_of([history(0, 0, misses=(0, 1))]).misses
    assert not load_of([history(0, 0, misses=(1,))]).misses
    assert load_of([history(0, 0, misses=(0,)), history(0, 0, misses=(1,))]).misses


def test_one_report_has_no_growth():
    assert load_of([history(500)]).growth == 0


def test_a_replica_that_never_executed_says_nothing_of_its_queue():
    assert load_of([history(500, 600, rows_per_s=0.0, utilisation=0.0, capacity=0.0)]) == Load(1, 0.0)
