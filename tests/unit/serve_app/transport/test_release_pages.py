"""Status, commands and feedback over HTTP."""

from __future__ import annotations

import pytest
from support.arithmetic import Executor
from support.gateway import client_of, plane_of, table
from support.releases import BEARER, FakeControl, admin_of

from serve_app.data_plane.local import LocalCluster
from serve_app.errors import CommandRefused, ControllerAway
from serve_app.release.commands import Promote, Register
from serve_app.release.messages import Feedback

TRAFFIC = table(arithmetic={"traffic": {"v1": 100}})
PROMOTE = {"verb": "promote", "model": "arithmetic"}


async def ask(method: str, path: str, admin=None, heard=None, **request):
    async with plane_of(LocalCluster(Executor("v1")), TRAFFIC) as plane:
        plane.feedback = (heard if heard is not None else []).extend
        async with client_of(plane, admin) as client:
            return await client.request(method, path, **request)


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/v2/releases", {"models": {"arithmetic": {"traffic": {"v1": 100}}}, "events": []}),
        ("/v2/releases/arithmetic", {"traffic": {"v1": 100}}),
        ("/v2/experiments/layout", {"name": "layout"}),
    ],
)
async def test_the_state_is_open_for_reading(path, document):
    answer = await ask("GET", path, admin_of(FakeControl()))
    assert (answer.status_code, answer.json()) == (200, document)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/v2/releases/cats", "model 'cats' is not served here; served are: arithmetic"),
        ("/v2/experiments/colour", "there is no experiment 'colour'"),
    ],
)
async def test_what_is_not_there_is_404(path, says):
    answer = await ask("GET", path, admin_of(FakeControl()))
    assert (answer.status_code, answer.json()) == (404, {"error": says})


async def test_a_command_reaches_the_controller():
    control = FakeControl()
    answer = await ask("POST", "/admin/commands", admin_of(control, is_on=False), json=PROMOTE, headers=BEARER)
    assert (answer.status_code, answer.json()) == (200, {"done": "promote"})
    assert control.commands == [Promote(model="arithmetic")]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        (BEARER | {"origin": "https://evil"}, 403),
        (BEARER | {"sec-fetch-site": "cross-site"}, 403),
        (BEARER | {"content-type": "text/plain"}, 400),
    ],
)
async def test_a_command_needs_a_token_and_no_browser(headers, status):
    control = FakeControl()
    answer = await ask(
        "POST",
        "/admin/commands",
        admin_of(control),
        headers={"content-type": "application/json"} | headers,
        content=b"{}",
    )
    assert (answer.status_code, control.commands) == (status, [])
    assert answer.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)


async def test_a_server_without_a_token_takes_no_command():
    answer = await ask("POST", "/admin/commands", admin_of(FakeControl(), token=""), json=PROMOTE, headers=BEARER)
    assert answer.status_code == 403
    assert "RAY_AUTH_MODE=token" in answer.json()["error"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
async def test_a_command_is_a_post(method):
    answer = await ask(method, "/admin/commands", admin_of(FakeControl()), headers=BEARER)
    assert answer.status_code == 405


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "the body is not JSON"),
        (b"[]", "the body must be a JSON object"),
        (b'{"verb": "promote"}', "the command cannot be read: model: Field required"),
    ],
)
async def test_a_command_that_is_none_is_400(body, says):
    headers = BEARER | {"content-type": "application/json; charset=utf-8"}
    answer = await ask("POST", "/admin/commands", admin_of(FakeControl()), content=body, headers=headers)
    assert answer.status_code == 400
    assert says in answer.json()["error"]


@pytest.mark.parametrize(
    ("error", "status"), [(CommandRefused("a rollout is under way"), 409), (ControllerAway("it restarts"), 503)]
)
async def test_the_controllers_no_has_its_status(error, status):
    answer = await ask("POST", "/admin/commands", admin_of(FakeControl(error)), json=PROMOTE, headers=BEARER)
    assert (answer.status_code, answer.json()["error"]) == (status, str(error))


async def test_whoever_may_command_registers_only_from_the_operators_sources(tmp_path):
    folder = tmp_path / "arithmetic/v2"
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text("")
    command = {"verb": "register", "model": "arithmetic", "version": "v2", "source": str(folder)}
    control = FakeControl()
    for admin, status in (
        (admin_of(control), 403),
        (admin_of(control, is_on=False), 403),
        (admin_of(control, tmp_path), 200),
    ):
        answer = await ask("POST", "/admin/commands", admin, json=command, headers=BEARER)
        assert answer.status_code == status
    assert control.commands == [Register(model="arithmetic", version="v2", source=str(folder))]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/releases"),
        ("GET", "/v2/releases/arithmetic"),
        ("GET", "/v2/experiments/layout"),
        ("POST", "/admin/commands"),
    ],
)
async def test_a_gateway_of_one_process_says_that_it_has_no_controller(method, path):
    answer = await ask(method, path, admin_of(None), json=PROMOTE, headers=BEARER)
    assert answer.status_code == 501
    assert "no controller of releases" in answer.json()["error"]


async def test_feedback_needs_no_token():
    heard: list[Feedback] = []
    one = await ask("POST", "/v1/feedback", heard=heard, json={"request_id": "r1", "label": 3})
    two = await ask("POST", "/v1/feedback", heard=heard, json={"items": [{"request_id": "r2", "value": 0.5}] * 2})
    assert (one.status_code, one.json(), two.json()) == (200, {"accepted": 1}, {"accepted": 2})
    assert heard == [Feedback("r1", label="3"), *[Feedback("r2", value=0.5)] * 2]


async def test_wrong_feedback_is_400_and_nothing_of_it_counts():
    heard: list[Feedback] = []
    items = [{"request_id": "r1", "value": 1}, {"request_id": "r2"}]
    answer = await ask("POST", "/v1/feedback", heard=heard, json={"items": items})
    assert (answer.status_code, heard) == (400, [])
    assert "items[1].label or items[1].value must be given" in answer.json()["error"]
