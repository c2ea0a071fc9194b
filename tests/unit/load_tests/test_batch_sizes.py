import threading

from load_tests.batch_sizes import (
    BatchSample,
    Executed,
    metrics_url,
    parse_executed,
    read_executed,
    sampled,
    samples_of,
    settled,
)

EXPOSITION = """# HELP ray_serve_app_batch_rows Rows executed together.
ray_serve_app_batch_rows_bucket{le="1.0",model="digits"} 5
ray_serve_app_batch_rows_sum{model="digits",version="v1",WorkerId="a"} 100.0
ray_serve_app_batch_rows_count{model="digits",version="v1",WorkerId="a"} 10.0
ray_serve_app_batch_rows_sum{model="digits",version="v1",WorkerId="b"} 20.0
ray_serve_app_batch_rows_count{model="digits",version="v1",WorkerId="b"} 10.0
ray_serve_app_queue_time_ms_sum{model="digits"} 7.0
"""


def test_the_totals_are_those_of_all_replicas():
    assert parse_executed(EXPOSITION) == Executed(rows=120, batches=20)
    assert parse_executed("serve_app_batch_rows_sum 3.0\nserve_app_batch_rows_count 1.0") == Executed(3, 1)
    assert parse_executed("# nothing\nother 1") is None


def test_a_sample_is_what_was_executed_since_the_metrics_last_changed():
    readings = [(0.0, Executed(10, 10)), (1.0, Executed(10, 10)), (2.0, Executed(50, 20)), (4.0, Executed(60, 30))]
    assert samples_of(readings) == (BatchSample(2.0, 4.0, 20.0), BatchSample(4.0, 1.0, 5.0))
    assert samples_of([]) == ()


def test_metrics_lie_beside_the_target():
    assert metrics_url("http://127.0.0.1:8001/v2/models/digits/infer") == "http://127.0.0.1:8001/metrics"


def test_only_a_server_with_these_metrics_tells(thread_server):
    url = metrics_url(thread_server.url)
    assert read_executed(url) is None
    thread_server.pages["/metrics"] = b"up 1"
    assert read_executed(url) is None
    thread_server.pages["/metrics"] = EXPOSITION.encode()
    assert read_executed(url) == Executed(120, 20)
    assert read_executed("http://127.0.0.1:9/metrics") is None


def test_metrics_are_read_while_the_load_runs_and_once_after_it():
    executed, has_read = Executed(0, 0), threading.Event()

    def read() -> Executed:
        has_read.set()
        return executed

    def load() -> None:
        nonlocal executed
        assert has_read.wait(30)
        executed = Executed(64, 2)

    samples = sampled(load, read, interval_s=60)
    assert [sample.rows_per_batch for sample in samples] == [32]


def test_a_load_waits_until_what_was_before_it_has_been_reported():
    readings = iter([Executed(1, 1), Executed(5, 2), Executed(9, 3), Executed(9, 3), Executed(10, 4)])
    assert settled(lambda: next(readings), interval_s=0)
    assert next(readings) == Executed(10, 4)
    assert not settled(iter(Executed(n, n) for n in range(9)).__next__, interval_s=0, tries=5)
