from __future__ import annotations

from serve_app.release.records import Phase, Routing


def test_a_version_at_nothing_is_as_good_as_none():
    assert Routing({"v1": 100.0, "v2": 0.0}).agrees_with(Routing({"v1": 100}))
    assert not Routing({"v1": 100.0}).agrees_with(Routing({"v1": 100.0}, {"stable": "v1"}))
    assert not Routing({"v1": 90.0, "v2": 10.0}).agrees_with(Routing({"v1": 80.0, "v2": 20.0}))


def test_people_read_who_answers():
    assert str(Routing({"v1": 90.0, "v2": 10.0, "v3": 0.0}, {"stable": "v1"})) == "v1 90%, v2 10%"


def test_a_phase_is_over_when_nothing_more_happens_by_itself():
    assert [phase.value for phase in Phase if not phase.is_over] == ["waiting", "running", "paused"]
