"""Series of numbers, put together to reports again."""

from dataclasses import asdict, dataclass

from serve_app.autoscaling.history import Sample, histories, latest
from serve_app.autoscaling.stats import ReplicaStats

ONE = ReplicaStats(1.0, 2.0, 0.3, 4.0, 5.0)
TWO = ReplicaStats(6.0, 7.0, 0.8, 9.0, 10.0)


@dataclass
class At:
    timestamp: float
    value: float


def series(**replicas):
    """Points as Ray keeps them, from reports by replica and time."""
    names = asdict(ONE)
    return {
        name: {replica: [At(at, asdict(stats)[name]) for at, stats in reports] for replica, reports in replicas.items()}
        for name in names
    }


def test_each_replica_has_its_reports_in_order():
    found = histories(series(a=[(1.0, ONE), (2.0, TWO)], b=[(1.5, TWO)]))
    assert found == {"a": (Sample(1.0, ONE), Sample(2.0, TWO)), "b": (Sample(1.5, TWO),)}


def test_a_report_that_is_not_whole_is_left_out():
    data = series(a=[(1.0, ONE), (2.0, TWO)], b=[(1.0, ONE)])
    data["rows_per_s"]["a"].pop()
    del data["utilisation"]["b"]
    assert histories(data) == {"a": (Sample(1.0, ONE),)}


def test_other_numbers_are_not_ours():
    assert histories({**series(a=[(1.0, ONE)]), "running_requests": {"a": [At(9.0, 1.0)]}}) == {
        "a": (Sample(1.0, ONE),)
    }
    assert histories({"running_requests": {"a": [At(9.0, 1.0)]}}) == {}


def test_the_newest_report_counts():
    assert latest(series(a=[(1.0, ONE), (2.0, TWO)], b=[(1.5, TWO)])) == 2.0
    assert latest(series(a=[])) == latest({}) == float("-inf")
