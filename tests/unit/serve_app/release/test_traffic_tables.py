"""Entries of a traffic table on the way of a rollout."""

import pytest
from support.release_world import release, serve_file

from serve_app.errors import InvalidTable
from serve_app.release.applications import Running, RunningApplication
from serve_app.release.records import Routing
from serve_app.release.traffic_tables import (
    entries_in,
    gateway_name,
    read_entry,
    routing_of,
    settled,
    staged,
    table_in,
    table_of,
    with_table,
)

GATEWAY = serve_file({"digits": {"traffic": {"v1": 100}}}, [])["applications"][0]
STICKY = {"header": "x-user"}


def test_the_gateway_is_found_by_its_builder():
    apps = {
        "digits-v1": RunningApplication("digits-v1", release("digits", "v1"), "RUNNING"),
        "front": RunningApplication("front", {**GATEWAY, "name": "front"}, "RUNNING"),
    }
    assert gateway_name(Running(apps)) == "front"
    assert gateway_name(Running()) is None


def test_a_table_is_read_and_replaced():
    assert entries_in(table_in(GATEWAY)) == {"digits": {"traffic": {"v1": 100}}}
    changed = with_table(GATEWAY, {"models": {"digits": {"traffic": {"v2": 100}}}})
    assert table_of(changed).models["digits"].traffic == {"v2": 100}
    assert entries_in(table_in({})) == {}


def test_a_wrong_table_is_named():
    with pytest.raises(InvalidTable, match="sum up to 90"):
        with_table(GATEWAY, {"models": {"digits": {"traffic": {"v1": 90}}}})
    with pytest.raises(InvalidTable, match="sum up to 90"):
        read_entry({"traffic": {"v1": 90}})


def test_an_entry_says_who_answers():
    assert routing_of(read_entry({"traffic": {"v1": 100}})) == Routing({"v1": 100}, {})


def test_a_staged_entry_moves_nothing_and_names_everything():
    declared = {"traffic": {"v0": 0, "v1": 100}, "labels": {"stable": "v1"}}
    wanted = {"traffic": {"v2": 100}, "labels": {"stable": "v2", "next": "v3"}, "sticky": STICKY}
    entry = staged(declared, Routing({"v1": 100}, {"stable": "v1"}), wanted)
    assert entry == {"traffic": {"v1": 100, "v0": 0, "v2": 0, "v3": 0}, "labels": {"stable": "v1"}, "sticky": STICKY}


def test_an_experiment_comes_with_its_traffic():
    experiment = {"name": "ab", "control": "v1"}
    wanted = {"traffic": {"v1": 50, "v2": 50}, "sticky": STICKY, "experiment": experiment}
    assert "experiment" not in staged({"traffic": {"v1": 100}}, Routing({"v1": 100}), wanted)
    both = Routing({"v1": 90, "v2": 10})
    assert staged({"traffic": {"v1": 90, "v2": 10}}, both, wanted)["experiment"] == experiment


def test_versions_inside_the_gateway_stay_until_the_end():
    declared = {"traffic": {"v1": 100}, "inline": {"v1": {"source": "a"}}}
    wanted = {"traffic": {"v2": 100}, "inline": {"v2": {"source": "b"}}}
    entry = staged(declared, Routing({"v1": 100}), wanted)
    assert entry["inline"] == {"v1": {"source": "a"}, "v2": {"source": "b"}}
    read_entry(entry)


def test_a_settled_entry_says_what_is_live():
    declared = {"traffic": {"v2": 100}, "labels": {"stable": "v2"}, "sticky": STICKY}
    assert settled(declared, Routing({"v1": 100, "v3": 0}, {"stable": "v1"})) == {
        "traffic": {"v2": 0, "v1": 100},
        "labels": {"stable": "v1"},
        "sticky": STICKY,
    }


def test_a_settled_entry_forgets_versions_that_are_gone_and_answer_nobody():
    declared = {"traffic": {"v1": 100, "v2": 0}, "shadow": [{"to": "v2"}], "inline": {"v2": {"source": "b"}}}
    assert settled(declared, Routing({"v1": 100}), ["v1", "v2"]) == {"traffic": {"v1": 100}}
