import logging

import pytest
import typer
from support.bench_results import bench_results

from load_tests.bench_command import command_line, plan_of, warnings_noted, workload_names
from load_tests.plan import FULL, QUICK


def test_rounds_replace_those_of_the_plan():
    assert plan_of(quick=True, rounds=0, seconds=0, minutes=0, runs=0) == QUICK
    assert plan_of(quick=False, rounds=0, seconds=0, minutes=0, runs=0) == FULL
    given = plan_of(quick=False, rounds=5, seconds=3, minutes=2, runs=3)
    assert (given.rounds, given.point_s, given.limit_s, given.goodput.runs) == (5, 3, 120, 3)
    assert given.goodput.max_rates == FULL.goodput.max_rates


def test_so_many_runs_need_a_middle_one():
    with pytest.raises(typer.BadParameter, match="--runs 4: an odd number has a middle one"):
        plan_of(quick=False, rounds=0, seconds=0, minutes=0, runs=4)


def test_one_workload_may_be_asked_for():
    assert workload_names("cnn") == ["cnn"]
    assert workload_names("") == ["digits", "cnn"]
    with pytest.raises(typer.BadParameter, match="--workload bert: there are digits and cnn"):
        workload_names("bert")


def test_the_command_can_be_repeated():
    assert command_line(["bench", "--peers"]) == "python -m load_tests bench --peers"
    assert command_line([]) == "python -m load_tests bench --quick"


def test_warnings_during_a_run_become_notes_once():
    results = bench_results()
    logger = logging.getLogger("load_tests.servers.host")
    with warnings_noted(results):
        for _ in range(2):
            logger.warning("%s is left out", "the express door")
    logger.warning("afterwards")
    assert results.notes == ["the express door is left out"]
