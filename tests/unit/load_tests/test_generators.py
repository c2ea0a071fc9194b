import pytest

from load_tests.arrivals import Phase, arrivals_s
from load_tests.generators import run
from load_tests.open_loop import OpenLoad
from load_tests.points import LoadFailed
from load_tests.target import Target

PHASES = (Phase(100, 0.2),)


@pytest.mark.parametrize("processes", [1, 2])
def test_the_processes_share_one_schedule(thread_server, processes):
    due = len(arrivals_s(PHASES, seed=5))
    result = run(OpenLoad(thread_server.target(), PHASES, seed=5, grace_s=30), processes)
    assert (result.offered, result.statuses[200], len(thread_server.bodies)) == (due, due, due)


def test_a_generator_that_dies_is_an_error():
    with pytest.raises(LoadFailed, match="ended without a result"):
        run(OpenLoad(Target("t", "digits", "no-url", (b"a",)), PHASES))
