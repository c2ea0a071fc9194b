from __future__ import annotations

import pytest
from support.controllers import Clock, FakeGateway

from serve_app.release.counts import ArmCounts
from serve_app.release.gateways import ALIVE_S, KEPT_WINDOWS, RELAY_S, Gateways
from serve_app.release.messages import Feedback, LiveTable
from serve_app.release.records import CountsRecord

V1, V2 = {"digits": {"traffic": {"v1": 100}}}, {"digits": {"traffic": {"v2": 100}}}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gateways(clock) -> Gateways:
    return Gateways(clock)


def gateway(name: str, table=None, *ready: str) -> FakeGateway:
    return FakeGateway(name, table or V1, *ready)


def test_a_fingerprint_is_known_once_all_gateways_agree(gateways):
    assert gateways.fingerprint("digits") is None
    old, new = gateway("a", V1), gateway("b", V2)
    gateways.heard(old.report())
    gateways.heard(new.report())
    assert gateways.fingerprint("digits") is None
    old.declare(V2)
    gateways.heard(old.report())
    assert gateways.fingerprint("digits") == new.table.models["digits"].fingerprint
    assert gateways.fingerprint("cats") is None


def test_a_gateway_that_is_silent_is_gone_and_its_counts_stay(gateways, clock):
    one = gateway("a")
    one.counts = {"w": {"v1": ArmCounts(requests=3)}}
    gateways.heard(one.report())
    clock.passes(ALIVE_S + 0.1)
    assert gateways.alive == ()
    assert gateways.ages_s() == {}
    assert gateways.counts("w")["v1"].requests == 3


def test_reports_that_come_twice_count_once_and_gateways_add_up(gateways):
    for name, requests in (("a", 3), ("b", 4), ("b", 4), ("a", 5)):
        one = gateway(name)
        one.counts = {"w": {"v1": ArmCounts(requests=requests)}}
        gateways.heard(one.report())
    assert gateways.counts("w")["v1"].requests == 9
    assert {record.gateway for record in gateways.records("w")} == {"a", "b"}


def test_a_version_is_ready_once_every_gateway_can_call_it(gateways):
    gateways.heard(gateway("a", V1, "digits-v1").report())
    gateways.heard(gateway("b", V1).report())
    assert gateways.reasons("digits", ["v1", "v9"]) == {
        "v1": "it is starting",
        "v9": "the gateway's traffic table does not name it",
    }
    assert (gateways.ready_at("digits", "v1"), gateways.ready_at("digits", "v9")) == (1, 0)
    gateways.heard(gateway("b", V1, "digits-v1").report())
    assert gateways.reasons("digits", ["v1"]) == {"v1": ""}


def test_without_gateways_nothing_is_ready(gateways):
    assert gateways.reasons("digits", ["v1"]) == {"v1": "no gateway reports"}


def test_the_declared_table_is_asked_for_until_it_is_the_gateways(gateways):
    one = gateway("a")
    gateways.heard(one.report())
    assert gateways.wants_declared
    one.live = LiveTable(wants_declared=True)
    gateways.heard(one.report())
    assert not gateways.wants_declared
    assert gateways.declared.models["digits"].traffic == {"v1": 100.0}
    one.declare(V2)
    one.live = LiveTable()
    gateways.heard(one.report())
    assert gateways.wants_declared


def test_feedback_goes_to_all_other_gateways_for_some_seconds(gateways, clock):
    one, item = gateway("a"), Feedback("id-1", "3")
    one.feedback = (item,)
    gateways.heard(one.report())
    assert gateways.feedback_for("b") == (item,)
    assert gateways.feedback_for("a") == ()
    clock.passes(RELAY_S + 0.1)
    assert gateways.feedback_for("b") == ()


def test_counters_do_not_grow_without_bound(gateways):
    for window in range(KEPT_WINDOWS + 5):
        gateways.restore(CountsRecord(str(window), "v1", "a", ArmCounts(requests=1)))
    assert gateways.counts("0") == {}
    assert gateways.counts(str(KEPT_WINDOWS + 4))["v1"].requests == 1
    gateways.forget("10")
    assert gateways.counts("10") == {}


def test_a_window_that_is_still_reported_is_not_the_one_to_be_forgotten(gateways):
    for window in range(KEPT_WINDOWS):
        gateways.restore(CountsRecord(str(window), "v1", "gone", ArmCounts(requests=1)))
    gateways.restore(CountsRecord("0", "v1", "a", ArmCounts(requests=2)))
    gateways.restore(CountsRecord("new", "v1", "a", ArmCounts(requests=1)))
    assert gateways.counts("0")["v1"].requests == 3
    assert gateways.counts("1") == {}


def test_a_clock_that_is_set_back_keeps_no_dead_gateway_alive_and_no_feedback_for_ever(gateways, clock):
    one = gateway("a")
    one.feedback = (Feedback("id-1", "3"),)
    gateways.heard(one.report())
    clock.passes(-3600.0)
    assert gateways.alive == ()
    assert gateways.feedback_for("b") == ()


def test_only_what_was_reported_since_is_to_be_kept_again(gateways):
    for name in "ab":
        gateways.restore(CountsRecord("w", "v1", name, ArmCounts(requests=1)))
    assert {record.gateway for record in gateways.changed_records("w")} == {"a", "b"}
    assert gateways.changed_records("w") == []
    gateways.restore(CountsRecord("w", "v1", "b", ArmCounts(requests=2)))
    assert gateways.changed_records("w") == [CountsRecord("w", "v1", "b", ArmCounts(requests=2))]
