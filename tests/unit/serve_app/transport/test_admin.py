"""What all doors to the controller share: waiting until a version can be called."""

from __future__ import annotations

import pytest
from support.arithmetic import Executor
from support.clusters import Changing
from support.gateway import plane_of, table

from serve_app.data_plane.cluster import ReleaseState, ReleaseStatus
from serve_app.data_plane.local import LocalCluster
from serve_app.errors import ModelNotFound, ModelNotReady
from serve_app.transport.admin import until_ready

TRAFFIC = table(arithmetic={"traffic": {"v1": 100, "v2": 0}})
LOADING = ReleaseStatus(ReleaseState.LOADING, "it is starting")
FAILED = ReleaseStatus(ReleaseState.UNAVAILABLE, "CheckFailed: golden 0")


class InSteps(Changing):
    """Each look sees version v1's next state; the last one stays, and None is ready."""

    def __init__(self, *states: ReleaseStatus | None) -> None:
        super().__init__()
        self.states = list(states)

    async def statuses(self):
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        self.others = {} if state is None else {"arithmetic-v1": state}
        self.ready = {"arithmetic-v1": Executor("v1")} if state is None else {}
        return await super().statuses()


async def test_it_returns_once_any_version_or_the_one_named_is_ready():
    async with plane_of(InSteps(LOADING, LOADING, LOADING, LOADING, None), TRAFFIC) as plane:
        await until_ready(plane.directory, "arithmetic", "", 30)
        await until_ready(plane.directory, "arithmetic", "v1", 30)


async def test_what_was_seen_before_the_change_does_not_count():
    """The first look still sees what has just been deleted."""
    cluster = InSteps(None, None, LOADING, LOADING, FAILED)
    async with plane_of(cluster, TRAFFIC) as plane:
        with pytest.raises(ModelNotReady, match="CheckFailed: golden 0"):
            await until_ready(plane.directory, "arithmetic", "v1", 30)


async def test_a_version_that_fails_ends_the_wait():
    async with plane_of(InSteps(LOADING, LOADING, LOADING, LOADING, FAILED), TRAFFIC) as plane:
        with pytest.raises(ModelNotReady, match="CheckFailed: golden 0"):
            await until_ready(plane.directory, "arithmetic", "", 30)


async def test_a_version_that_never_comes_ends_it_too():
    async with plane_of(LocalCluster(), TRAFFIC) as plane:
        with pytest.raises(ModelNotReady, match="arithmetic v2 is not ready"):
            await until_ready(plane.directory, "arithmetic", "v2", 0.01)
        with pytest.raises(ModelNotReady, match="it is not known yet"):
            await until_ready(plane.directory, "arithmetic", "v3", 0.01)
        with pytest.raises(ModelNotFound):
            await until_ready(plane.directory, "cats", "", 0.01)
