"""The talk with the controller: its table takes effect, and without it everything goes on and nothing is lost."""

from __future__ import annotations

import asyncio

import pytest
from support.arithmetic import Executor, rows
from support.clusters import Changing
from support.fake_control import FakeControl, rollout
from support.gateway import plane_of, table
from support.waiting import until

from serve_app.data_plane import exchange
from serve_app.data_plane.accounting import Accounting
from serve_app.data_plane.directory import Directory
from serve_app.data_plane.exchange import Exchange
from serve_app.data_plane.local import LocalCluster
from serve_app.errors import ControllerAway
from serve_app.observability.metrics import NoMetrics
from serve_app.observability.request_log import RequestLog
from serve_app.release.messages import Feedback, LiveTable
from serve_app.types import InferenceRequest

TRAFFIC = table(arithmetic={"traffic": {"v1": 100, "v2": 0}}, default_model="arithmetic")
BASE = TRAFFIC.models["arithmetic"].fingerprint
MOVED = rollout(BASE, traffic={"v1": 0, "v2": 100})


class Gateway:
    """A directory, its accounting, and an exchange that a test drives."""

    def __init__(self, control: FakeControl, *versions: str) -> None:
        self.now = 0.0
        self.control = control
        self.directory = Directory(Changing(*(versions or ("v1", "v2"))))
        self.accounting = Accounting(RequestLog(NoMetrics()), self.directory, lambda: 0.0)
        self.exchange = Exchange(control, self.directory, self.accounting, lambda: self.now)

    async def ready(self) -> Gateway:
        self.directory.set_table(TRAFFIC)
        await self.directory.refresh()
        return self

    @property
    def picked(self) -> str:
        return self.directory.resolve("arithmetic", "", 0.5).info.version


async def gateway(answer: LiveTable | None = None, *versions: str) -> Gateway:
    return await Gateway(FakeControl(answer), *versions).ready()


async def test_a_report_says_who_reports_what_is_declared_and_what_is_ready():
    subject = await gateway(None, "v1")
    subject.accounting.arms.answered("arithmetic", "v1", 0.001)
    assert await subject.exchange.once()
    (report,) = subject.control.reports
    assert report.fingerprints == {"arithmetic": BASE}
    assert report.readiness == {"arithmetic": {"v1": "", "v2": "no application of that name is deployed"}}
    assert report.counts[f"arithmetic:{BASE}"]["v1"].requests == 1
    assert (report.revision, report.declared, report.feedback) == (0, None, ())
    assert report.gateway != (await gateway()).exchange._gateway


async def test_a_gateway_is_settled_once_the_controller_has_had_its_time(monkeypatch):
    monkeypatch.setattr(exchange, "TIMEOUT_S", 0.2)
    control = FakeControl()
    control.hangs = True
    async with plane_of(Changing("v1", "v2"), TRAFFIC, control=control) as plane:
        assert plane.directory.is_settled()
        assert not plane.is_settled()
        await until(plane.is_settled)
    async with plane_of(Changing("v1", "v2"), TRAFFIC) as plane:
        assert plane.is_settled()


async def test_the_answer_is_in_effect_at_once_and_its_revision_is_reported():
    subject = await gateway(MOVED)
    await subject.exchange.once()
    assert subject.picked == "v2"
    await subject.exchange.once()
    assert subject.control.reports[-1].revision == 1


async def test_the_declared_table_is_told_when_it_is_asked_for():
    subject = await gateway(LiveTable(wants_declared=True))
    await subject.exchange.once()
    subject.control.answer = LiveTable()
    await subject.exchange.once()
    await subject.exchange.once()
    before, asked, after = (report.declared for report in subject.control.reports)
    assert (before, after) == (None, None)
    assert asked == TRAFFIC.model_dump(mode="json")


@pytest.mark.parametrize("fault", [ControllerAway("it restarts"), ConnectionError("no route"), KeyError("a bug")])
async def test_a_controller_that_fails_changes_nothing(fault, caplog):
    subject = await gateway(MOVED)
    await subject.exchange.once()
    subject.control.fault = fault
    subject.accounting.feedback([Feedback("elsewhere", "dog")])
    subject.accounting.arms.answered("arithmetic", "v2", 0.001)
    for _ in range(3):
        assert not await subject.exchange.once()
    assert subject.picked == "v2"
    subject.control.fault = None
    await subject.exchange.once()
    last = subject.control.reports[-1]
    assert last.feedback == (Feedback("elsewhere", "dog"),)
    assert last.counts["rollout-1"]["v2"].requests == 1
    assert caplog.text.count("the controller of releases does not answer") == 1


async def test_a_controller_that_hangs_is_given_up_and_changes_nothing(monkeypatch):
    monkeypatch.setattr(exchange, "TIMEOUT_S", 0.01)
    subject = await gateway(MOVED)
    await subject.exchange.once()
    subject.control.hangs = True
    assert not await subject.exchange.once()
    assert subject.picked == "v2"


async def test_an_answer_that_cannot_be_taken_changes_nothing():
    subject = await gateway(MOVED)
    await subject.exchange.once()
    subject.control.answer = rollout(BASE, 2, traffic=None)
    assert not await subject.exchange.once()
    assert (subject.picked, subject.directory.live.revision) == ("v2", 1)


async def test_a_controller_that_is_away_is_told_of_every_ten_seconds(caplog):
    subject = await gateway()
    subject.control.fault = ControllerAway("it restarts")
    for subject.now in (0.0, 9.0, 11.0, 20.0, 21.0):
        await subject.exchange.once()
    assert caplog.text.count("the controller of releases does not answer") == 3


async def test_a_window_that_ended_is_told_once_more():
    subject = await gateway(MOVED)
    subject.accounting.arms.answered("arithmetic", "v1", 0.001)
    await subject.exchange.once()
    subject.accounting.arms.answered("arithmetic", "v2", 0.001)
    await subject.exchange.once()
    await subject.exchange.once()
    windows = [list(report.counts) for report in subject.control.reports]
    assert windows == [[f"arithmetic:{BASE}"], [f"arithmetic:{BASE}", "rollout-1"], ["rollout-1"]]


async def test_feedback_that_others_did_not_know_is_counted_where_it_belongs_and_not_passed_on_again():
    subject = await gateway(MOVED)
    await subject.exchange.once()
    subject.accounting.ledger.remember("mine", subject.accounting.arms.of("arithmetic", "v2"), ("1",))
    subject.control.answer = LiveTable(1, MOVED.models, (Feedback("mine", "1"), Feedback("nobodys", "1")))
    for _ in range(3):
        await subject.exchange.once()
    last = subject.control.reports[-1]
    assert (last.counts["rollout-1"]["v2"].judged, last.feedback) == (1, ())


def planes(*controls: FakeControl):
    return [
        plane_of(LocalCluster(Executor("v1"), Executor("v2")), TRAFFIC, random_point=lambda: 0.5, control=control)
        for control in controls
    ]


async def answered_by(plane) -> str:
    return (await plane.infer(InferenceRequest("arithmetic", {"x": rows(1)}))).model_version


async def test_a_live_table_moves_the_traffic_of_all_gateways(monkeypatch):
    monkeypatch.setattr(exchange, "PERIOD_S", 0.0)
    control = FakeControl()
    one, other = planes(control, control)
    async with one as first, other as second:
        await asyncio.gather(first.informed(), second.informed())
        assert [await answered_by(first), await answered_by(second)] == ["v1", "v1"]
        control.answer = MOVED
        await until(lambda: control.reports[-1].revision == control.reports[-2].revision == 1)
        assert [await answered_by(first), await answered_by(second)] == ["v2", "v2"]
        await until(lambda: control.counted("rollout-1", "v2").requests == 2)
        assert len({report.gateway for report in control.reports}) == 2


async def test_a_new_gateway_has_the_live_table_once_it_is_informed():
    (plane,) = planes(FakeControl(MOVED))
    async with plane as subject:
        await subject.informed()
        assert await answered_by(subject) == "v2"


async def test_a_gateway_whose_controller_hangs_answers_as_declared(monkeypatch):
    monkeypatch.setattr(exchange, "TIMEOUT_S", 0.01)
    control = FakeControl(MOVED)
    control.hangs = True
    (plane,) = planes(control)
    async with plane as subject:
        await subject.informed()
        assert await answered_by(subject) == "v1"
        assert subject.control is control


async def test_a_gateway_without_a_controller_is_informed_at_once():
    async with plane_of(LocalCluster(Executor("v1")), TRAFFIC) as subject:
        await subject.informed()
        assert subject.control is None
