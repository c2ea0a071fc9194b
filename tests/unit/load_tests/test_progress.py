import io

from rich.console import Console

from load_tests.progress import Bars


def test_the_bars_count_hosts_and_steps_that_are_over():
    screen = io.StringIO()
    with Bars(2, Console(file=screen, width=120)) as bars:
        bars.host("round 1, first")
        bars.more(2)
        bars.step("one")
        bars.step("two")
        bars.host("round 1, second")
        bars.more(1)
        bars.step("three")
    shown = screen.getvalue()
    assert "round 1, second" in shown
    assert "2/2" in shown
    assert "3/3" in shown
