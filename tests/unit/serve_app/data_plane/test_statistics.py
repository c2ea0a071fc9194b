"""Which releases are asked for their figures."""

from __future__ import annotations

import pytest
from support.arithmetic import Executor
from support.gateway import plane_of, table

from serve_app.data_plane.local import LocalCluster
from serve_app.data_plane.statistics import statistics_of
from serve_app.errors import ModelNotFound, ModelNotReady, VersionNotFound

TRAFFIC = table(
    arithmetic={"traffic": {"v1": 90, "v2": 10}, "labels": {"canary": "v2"}},
    other={"traffic": {"v1": 100}},
    absent={"traffic": {"v1": 100}},
)


class Silent(Executor):
    """A release that cannot tell what it did."""

    @property
    def statistics(self):
        raise ConnectionError


@pytest.fixture
async def directory():
    cluster = LocalCluster(Executor("v1"), Executor("v2"), Silent("v1", model="other"))
    async with plane_of(cluster, TRAFFIC) as plane:
        yield plane.directory


@pytest.mark.parametrize(("version", "told"), [("", ["v1", "v2"]), ("v1", ["v1"]), ("canary", ["v2"])])
async def test_ready_versions_are_told(directory, version, told):
    counted = await statistics_of(directory, "arithmetic", version)
    assert [info.version for info, _ in counted] == told


async def test_all_models_are_told_without_those_that_are_not_ready():
    async with plane_of(LocalCluster(Executor("v2")), TRAFFIC) as plane:
        counted = await statistics_of(plane.directory)
    assert [info.release for info, _ in counted] == ["arithmetic-v2"]


@pytest.mark.parametrize(
    ("model", "version", "error"),
    [
        ("cats", "", ModelNotFound),
        ("arithmetic", "v9", VersionNotFound),
        ("absent", "v1", ModelNotReady),
        ("other", "", ModelNotReady),
    ],
)
async def test_what_cannot_be_told_is_an_error(directory, model, version, error):
    with pytest.raises(error):
        await statistics_of(directory, model, version)
