import json
from itertools import islice

from support.soak_oracle import oracle

from load_tests.soak.mix import BAD, MAX_ROWS, WEIGHTS, Kind, Mix


def probes(count: int = 3000, seed: int = 1):
    mix = Mix(oracle(), seed)
    return list(islice(iter(mix.next, None), count))


MANY = probes()


def of(kind: Kind):
    return [probe for probe in MANY if probe.kind is kind]


def test_the_same_seed_gives_the_same_requests():
    assert probes(50) == MANY[:50]
    assert probes(50, seed=2) != MANY[:50]


def test_every_kind_comes_about_as_often_as_its_weight():
    assert sum(WEIGHTS.values()) == 100
    for kind, weight in WEIGHTS.items():
        assert abs(len(of(kind)) / 3000 - weight / 100) < 0.04  # over four standard deviations


def test_a_request_carries_the_rows_it_names():
    for probe in of(Kind.ORDINARY)[:200]:
        tensor = json.loads(probe.body)["inputs"][0]
        assert tensor["shape"][0] == len(probe.rows)
        assert tensor["name"] == {"digits": "pixels", "wine": "features"}[probe.model]
        assert probe.path.split("/")[3] == probe.model
        assert (f"/versions/{probe.version}/" in probe.path) == bool(probe.version)


def test_sizes_go_from_one_row_to_the_most():
    sizes = {len(probe.rows) for probe in of(Kind.ORDINARY)}
    assert (min(sizes), max(sizes)) == (1, MAX_ROWS)


def test_hurried_requests_may_be_too_late_and_others_may_not():
    for probe in of(Kind.HURRIED_PARAMETER):
        assert 1 <= json.loads(probe.body)["parameters"]["timeout"] <= 30_000
        assert (probe.statuses, probe.may_be_refused) == ({200, 429, 504}, False)
    for probe in of(Kind.HURRIED_HEADER):
        assert 0 < float(dict(probe.headers)["x-request-timeout-seconds"]) <= 0.03
        assert probe.statuses == {200, 408, 429, 504}
    assert all(probe.statuses == {200} for probe in of(Kind.ORDINARY))


def test_those_who_leave_do_so_before_or_after_the_whole_body():
    assert all(0 <= probe.leaves_after_s <= 0.02 for probe in of(Kind.LEAVES))
    assert all(probe.is_half_sent for probe in of(Kind.HALF_SENT))
    assert not any(probe.is_half_sent or probe.leaves_after_s is not None for probe in of(Kind.ORDINARY))


def test_priorities_are_those_of_v2():
    assert {json.loads(probe.body)["parameters"]["priority"] for probe in of(Kind.PRIORITY)} == set(range(1, 10))


def test_bad_requests_all_come_and_have_one_right_status():
    assert len({(probe.path, probe.body) for probe in of(Kind.BAD)}) == len(BAD)
    assert {status for probe in of(Kind.BAD) for status in probe.statuses} == {400, 404}
    assert any(b"NaN" in probe.body for probe in of(Kind.BAD))
    assert not any(probe.model for probe in of(Kind.BAD))
