"""The printed line of a verdict, and its JSON."""

import json
import math

import pytest

from serve_app.release.verdict import Outcome, Verdict, told


def verdict(gate="error_rate", bound="max_increase 0.005", outcome=Outcome.FAILED, **others):
    values = {
        "new_value": 0.0214,
        "stable_value": 0.0,
        "new_n": 1400,
        "stable_n": 5600,
        "low": 0.0134,
        "high": 0.0312,
        "confidence": 1 - 0.05 / 3,
    } | others
    return Verdict(gate=gate, bound=bound, outcome=outcome, **values)


ACCURACY = {"gate": "accuracy", "bound": "max_decrease 0.02", "new_value": 0.9, "stable_value": 0.95}
LATENCY = {"gate": "latency_ms p95", "bound": "max_ratio 1.5", "new_value": 1234.5, "stable_value": 99.5}


@pytest.mark.parametrize(
    ("given", "lacks", "sentence"),
    [
        (
            verdict(),
            "",
            "error_rate of v2 0.021 (n 1,400) is over v1's 0.000 (n 5,600) by 0.013 to 0.031 at 98.3%: "
            "more than max_increase 0.005",
        ),
        (
            verdict(**ACCURACY, low=-0.08, high=-0.03),
            "",
            "accuracy of v2 0.900 (n 1,400) is under v1's 0.950 (n 5,600) by 0.030 to 0.080 at 98.3%: "
            "more than max_decrease 0.02",
        ),
        (
            verdict(**LATENCY, low=10.5, high=14.25),
            "",
            "latency_ms p95 of v2 1,234 ms (n 1,400) is 10.5 to 14.2 times v1's 99.5 ms (n 5,600) at 98.3%: "
            "more than max_ratio 1.5",
        ),
        (
            verdict(bound="max 0.01"),
            "",
            "error_rate of v2 0.021 (n 1,400), in truth 0.013 to 0.031 at 98.3%: more than max 0.01",
        ),
        (
            verdict("reward", "min 0.5"),
            "",
            "reward of v2 0.0214 (n 1,400), in truth 0.0134 to 0.0312 at 98.3%: less than min 0.5",
        ),
        (
            verdict(outcome=Outcome.PASSED, low=-0.0001, high=0.006),
            "",
            "error_rate of v2 0.021 (n 1,400) differs from v1's 0.000 (n 5,600) by -0.0001 to 0.006 at 98.3%: "
            "max_increase 0.005 is not shown to be broken",
        ),
        (
            verdict(outcome=Outcome.PASSED, low=-0.002, high=0.004, confidence=0.9995),
            "",
            "error_rate of v2 0.021 (n 1,400) differs from v1's 0.000 (n 5,600) by -0.002 to 0.004 at 99.95%: "
            "max_increase 0.005 is kept",
        ),
        (
            verdict("reward", "max 5", Outcome.WAITING, new_value=None, new_n=0, low=-math.inf, high=math.inf),
            "0 of 50 rewards seen",
            "reward of v2 unknown (n 0), in truth any amount at 98.3%: 0 of 50 rewards seen",
        ),
    ],
)
def test_the_line_has_values_numbers_interval_confidence_and_bound(given, lacks, sentence):
    assert told(given, ("v1", "v2"), lacks).sentence == sentence


@pytest.mark.parametrize(
    ("bound", "low", "high", "end"),
    [
        ("min 0.5", 0.6, 0.9, "is kept"),
        ("min 0.5", 0.4, 0.9, "is not shown to be broken"),
        ("max 0.5", 0.1, 0.5, "is kept"),
        ("max 0.5", 0.1, math.inf, "is not shown to be broken"),
        ("max_decrease 0.1", -0.05, 0.9, "is kept"),
        ("max_decrease 0.1", -math.inf, 0.9, "is not shown to be broken"),
    ],
)
def test_a_bound_is_kept_if_the_whole_interval_keeps_it(bound, low, high, end):
    line = told(verdict("reward", bound, Outcome.PASSED, low=low, high=high), ("v1", "v2"), "").sentence
    assert line.endswith(f"{bound} {end}")
    assert "inf" not in line


def test_json_gives_the_verdict_back_with_infinite_ends():
    given = told(verdict(low=-math.inf, high=math.inf), ("v1", "v2"), "")
    document = json.loads(json.dumps(given.to_json(), allow_nan=False))
    assert (document["outcome"], document["low"], document["high"]) == ("failed", None, None)
    assert Verdict.from_json(document) == given
    assert Verdict.from_json(verdict().to_json()) == verdict()
