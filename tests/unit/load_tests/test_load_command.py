import io

import pytest
import typer
from rich.console import Console
from support.bench_results import closed_point, open_point

from load_tests.arrivals import Phase
from load_tests.load_command import closed_table, digits_target, numbers, open_table, phases_of


def test_a_rate_or_a_rate_for_each_second():
    assert phases_of(100, 0, "") == (Phase(100, 6),)
    assert phases_of(100, 2.5, "") == (Phase(100, 2.5),)
    assert phases_of(0, 0, "10,500,10") == (Phase(10, 1), Phase(500, 1), Phase(10, 1))


@pytest.mark.parametrize(("rate", "seconds", "rates"), [(0, 0, ""), (10, 0, "1,2"), (0, 5, "1,2")])
def test_options_that_contradict_each_other_are_refused(rate, seconds, rates):
    with pytest.raises(typer.BadParameter, match="--rate"):
        phases_of(rate, seconds, rates)


@pytest.mark.parametrize("text", ["", "1,x", "1,-2", "nan", "inf"])
def test_a_list_must_hold_numbers(text):
    with pytest.raises(typer.BadParameter, match="must be numbers of 0 or more by commas"):
        numbers(text, "--rates")


def test_a_server_is_named_by_its_url():
    target = digits_target("http://127.0.0.1:8000/", "v2")
    assert target.url == "http://127.0.0.1:8000/v2/models/digits/versions/v2/infer"
    assert len(target.bodies) == 100
    with pytest.raises(typer.BadParameter, match="not of the form http://host"):
        digits_target("localhost:8000", "v2")


def test_the_tables_have_the_figures():
    screen = io.StringIO()
    console = Console(file=screen, width=100)
    console.print(closed_table("t", [closed_point(64, 1234.5, failed=2)]), open_table("t", 50, open_point(100, 90)))
    said = screen.getvalue()
    for figure in ("1,234", "1.50", "2.50", "9.00", "90.00%", "3.00 / 40.00", "1.00 / 6.00"):
        assert figure in said
