"""Calls to the controller end in time and with an error of ours, over a handle that is no real one."""

from __future__ import annotations

import asyncio
import pickle

import pytest
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import DeploymentUnavailableError

from deployments import control
from deployments.control import HandleControl
from serve_app.errors import CommandRefused, ControllerAway
from serve_app.release.commands import Promote
from serve_app.release.messages import GatewayReport, LiveTable


class Response:
    """Gives, raises, or hangs (None)."""

    def __init__(self, outcome: object) -> None:
        self.outcome, self.cancelled = outcome, False

    def __await__(self):
        return self._answer().__await__()

    async def _answer(self):
        if self.outcome is None:
            await asyncio.Event().wait()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """Every method gives the same response."""

    def __init__(self, outcome: object) -> None:
        self.response, self.asked = Response(outcome), list[tuple[object, ...]]()
        self.exchange = self.command = self.status = self.experiment = self

    def remote(self, *arguments: object) -> Response:
        self.asked.append(arguments)
        return self.response


async def test_what_the_controller_gives_comes_back():
    handle = Handle(LiveTable(3))
    report = GatewayReport("g", 0, {})
    assert await HandleControl(handle).exchange(report) == LiveTable(3)
    await HandleControl(handle).experiment("layout")
    await HandleControl(handle).status()
    assert handle.asked == [(report,), ("layout",), ()]


def raised(cause: Exception) -> Exception:
    return pickle.loads(pickle.dumps(RayTaskError("command", "traceback", cause)))  # noqa: S301 - our own bytes


async def test_an_error_of_ours_comes_out_of_rays_wrapping():
    with pytest.raises(CommandRefused, match="a rollout is under way"):
        await HandleControl(Handle(raised(CommandRefused("a rollout is under way")))).command(Promote(model="m"))


async def test_another_error_stays_what_it_is():
    with pytest.raises(RayTaskError):
        await HandleControl(Handle(raised(KeyError("x")))).status()


@pytest.mark.parametrize("error", [RayActorError(), DeploymentUnavailableError("Releases")])
async def test_a_replica_that_is_gone_is_a_controller_away(error):
    with pytest.raises(ControllerAway, match="its replica is gone"):
        await HandleControl(Handle(error)).status()


async def test_a_call_that_hangs_is_taken_back(monkeypatch):
    monkeypatch.setattr(control, "ASK_S", 0.01)
    handle = Handle(None)
    with pytest.raises(ControllerAway, match=r"it did not answer within 0\.01 s"):
        await HandleControl(handle).status()
    assert handle.response.cancelled


async def test_a_caller_that_leaves_takes_its_call_back():
    handle = Handle(None)
    call = asyncio.create_task(HandleControl(handle).status())
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert handle.response.cancelled
