import io
import json

from rich.console import Console

from load_tests.soak.client import Ledger
from load_tests.soak.memory import MemorySample
from load_tests.soak.mix import Kind
from load_tests.soak.report import document, table
from load_tests.soak.soak import SoakPlan, SoakResult


def result() -> SoakResult:
    made = SoakResult(SoakPlan(60, clients=4), Ledger())
    tally = made.ledger.tallies[Kind.ORDINARY]
    tally.sent, tally.right, tally.latencies_ms = 1500, 1500, [5.0, 7.0, 300.0]
    tally.statuses[200] = 1500
    made.ledger.tallies[Kind.HALF_SENT].left = 3
    return made


def shown(made: SoakResult) -> str:
    screen = io.StringIO()
    Console(file=screen, width=160).print(table(made))
    return screen.getvalue()


def test_the_table_has_kinds_memory_and_the_verdict():
    made = result()
    made.memory = [MemorySample(float(at), {"7 ray::gateway": 2**20 * (200 + at)}) for at in range(10)]
    said = shown(made)
    for part in (
        "ordinary",
        "1,500",
        "7.0",
        "300.0",
        "200: 1,500",
        "7 ray::gateway",
        "202.5",
        "208.5",
        "+3.0%",
        "passed",
    ):
        assert part in said


def test_a_violation_is_told_with_an_example():
    made = result()
    made.ledger.violate("wrong answer", "row 3 of 8 is off by 0.5")
    said = shown(made)
    for part in ("failed", "wrong answer: 1 times", "row 3 of 8 is off by 0.5", "pids are not known"):
        assert part in said


def test_the_document_has_everything():
    made = result()
    made.ledger.violate("no answer", "x")
    said = json.loads(document(made))
    assert said["requests"]["ordinary"]["p99_ms"] == 300
    assert said["requests"][Kind.HALF_SENT]["p50_ms"] is None
    assert said["requests"][Kind.HALF_SENT]["left"] == 3
    assert (said["violations"], said["examples"]) == (["no answer: 1 times"], ["no answer: x"])
    assert said["memory_growth"] is None
