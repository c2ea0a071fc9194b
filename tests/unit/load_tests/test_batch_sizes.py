import threading
from dataclasses import replace

import orjson

from load_tests.batch_sizes import BatchSample, Executed, read_executed, sampled, samples_of

STATISTICS = {
    "model_stats": [
        {"version": "v1", "inference_count": 100, "execution_count": 10},
        {"version": "v2", "inference_count": 20, "execution_count": 10},
    ]
}


def test_a_sample_is_what_was_executed_since_the_statistics_last_changed():
    readings = [(0.0, Executed(10, 10)), (1.0, Executed(10, 10)), (2.0, Executed(50, 20)), (4.0, Executed(60, 30))]
    assert samples_of(readings) == (BatchSample(2.0, 4.0, 20.0), BatchSample(4.0, 1.0, 5.0))
    assert samples_of([]) == ()


def test_only_a_server_with_statistics_tells_what_all_versions_executed(thread_server):
    target = thread_server.target()
    page = f"/v2/models/{target.workload}/stats"
    assert read_executed(target) is None
    for other in (b"up 1", b"[]", b'{"model_stats": [{}]}'):
        thread_server.pages[page] = other
        assert read_executed(target) is None
    thread_server.pages[page] = orjson.dumps(STATISTICS)
    assert read_executed(target) == Executed(120, 20)
    assert read_executed(replace(target, url="http://127.0.0.1:9/")) is None


def test_statistics_are_read_while_the_load_runs_and_once_after_it():
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
