"""Releases inside the gateway: loaded in a thread before they are used, never changed, closed when nobody uses them."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing

import numpy as np
import pytest
from support.arithmetic import Executor, rows
from support.clusters import Changing
from support.decoupled import Counting, server_of
from support.gateway import client_of, plane_of, table
from support.versions import doubling, write_version
from support.waiting import until

from serve_app.config.release import ReleaseArgs
from serve_app.data_plane.cluster import ReleaseState, ReleaseStatus
from serve_app.data_plane.inline import InlineReleases, JoinedCluster
from serve_app.data_plane.local import LocalCluster
from serve_app.dataflow.block_server import BlockServer
from serve_app.errors import CheckFailed, InvalidTable, ModelNotReady
from serve_app.observability.metrics import NoMetrics
from serve_app.types import Block, BlockEntry, InferenceRequest

V1, V2 = "arithmetic-v1", "arithmetic-v2"


class Loader:
    """Loads the arithmetic model; can be held, and fails for versions in `broken`."""

    def __init__(self, held: bool = False, broken: tuple[str, ...] = ()) -> None:
        self.loaded: list[str] = []
        self.closed: list[str] = []
        self.threads: set[threading.Thread] = set()
        self.broken, self.go = list(broken), threading.Event()
        if not held:
            self.go.set()

    def __call__(self, args: ReleaseArgs) -> Executor:
        self.threads.add(threading.current_thread())
        if not self.go.wait(20):
            raise TimeoutError("nobody let it go on")
        if args.version in self.broken:
            raise CheckFailed(args.release, "its golden rows have other answers")
        self.loaded.append(args.release)
        executor = Executor(args.version)
        executor.close = lambda: self.closed.append(args.release)
        return executor


def args(version: str = "v1", **settings) -> ReleaseArgs:
    return ReleaseArgs(model="arithmetic", version=version, source="s", **settings)


def nothing() -> None:
    pass


def inline(traffic: dict[str, float], **versions) -> dict:
    return {"models": {"arithmetic": {"traffic": traffic, "inline": versions}}}


SOURCE = {"source": "s"}


def ask(value: float = 1, version: str = "") -> InferenceRequest:
    return InferenceRequest("arithmetic", {"x": rows(value)}, model_version=version)


async def closed(loader: Loader, release: str, plane) -> None:
    """Look at the cluster until a release was closed; each look takes the next step."""
    async with asyncio.timeout(10):
        while loader.closed != [release]:
            await plane.directory.refresh()
            await asyncio.sleep(0)


async def test_a_release_is_loaded_in_a_thread_and_only_then_ready():
    loader, told = Loader(held=True), []
    subject = InlineReleases(loader)
    subject.declare([args()], lambda: told.append(subject.statuses()[V1].state))
    status = subject.statuses()[V1]
    assert (status.state, status.reason) == (ReleaseState.LOADING, "it is being loaded in the gateway")
    assert subject.client(V1) is None
    loader.go.set()
    await subject.first_loaded()
    assert told == [ReleaseState.READY]
    assert threading.current_thread() not in loader.threads
    assert subject.statuses() == {V1: ReleaseStatus(ReleaseState.READY, replicas=1, is_inline=True)}


async def test_one_that_cannot_be_loaded_says_why_and_is_tried_again_with_the_next_table():
    loader = Loader(broken=("v1",))
    subject = InlineReleases(loader)
    subject.declare([args(), args("v2")], nothing)
    await subject.first_loaded()
    states = {name: status.state for name, status in subject.statuses().items()}
    assert states == {V1: ReleaseState.UNAVAILABLE, V2: ReleaseState.READY}
    assert "its golden rows have other answers" in subject.statuses()[V1].reason
    loader.broken.clear()
    subject.declare([args(slo_ms=5), args("v2")], nothing)  # it never answered, so it may change
    await until(lambda: subject.statuses()[V1].state is ReleaseState.READY)
    assert loader.loaded == [V2, V1]


async def test_a_fault_that_is_not_ours_is_told_by_its_name():
    def load(release):
        raise MemoryError("too big")

    subject = InlineReleases(load)
    subject.declare([args()], nothing)
    await subject.first_loaded()
    assert subject.statuses()[V1].reason == "MemoryError: too big"


@pytest.mark.parametrize("changed", [{"slo_ms": 5}, {"source": "t"}, {"batching": {"max_rows": 64}}])
async def test_a_release_that_would_change_is_refused_whole(changed):
    subject = InlineReleases(Loader())
    subject.declare([args()], nothing)
    with pytest.raises(InvalidTable, match="arithmetic-v1 is in the gateway with other settings; a changed release"):
        subject.declare(
            [args("v2"), ReleaseArgs(**{"model": "arithmetic", "version": "v1", "source": "s"} | changed)], nothing
        )
    await subject.first_loaded()
    assert set(subject.statuses()) == {V1}


async def test_one_that_is_removed_while_it_is_loaded_is_closed_then():
    loader = Loader(held=True)
    subject = InlineReleases(loader)
    subject.declare([args()], nothing)
    subject.declare([], nothing)
    assert subject.statuses() == {}
    loader.go.set()
    await subject.first_loaded()
    assert loader.closed == [V1]


async def test_one_that_is_removed_is_closed_after_its_last_client_and_stream():
    server, ends = server_of(Counting()), list[str]()
    server.close = lambda: ends.append("now")
    subject = InlineReleases(lambda release: server)
    subject.declare([args()], nothing)
    await subject.first_loaded()
    client = subject.client(V1)
    async with aclosing(client.stream(Block({"upto": np.array([3])}, (BlockEntry(1),)))) as replies:
        await anext(replies)
        subject.declare([], nothing)
        client.close()
        assert ends == []
    assert ends == ["now"]
    assert subject.statuses() == {}


async def test_closing_lets_go_of_everything():
    loader = Loader()
    subject = InlineReleases(loader)
    subject.declare([args(), args("v2")], nothing)
    await subject.first_loaded()
    await subject.close()
    assert loader.closed == [V1, V2]


async def test_the_cluster_tells_of_both_and_finds_the_way_to_both():
    cluster, releases = Changing("v1"), InlineReleases(Loader())
    releases.declare([args("v2")], nothing)
    await releases.first_loaded()
    subject = JoinedCluster(cluster, releases)
    assert {name: status.is_inline for name, status in (await subject.statuses()).items()} == {V1: False, V2: True}
    assert [(await subject.client(name).describe()).release for name in (V1, V2)] == [V1, V2]


async def test_the_split_goes_to_an_inline_version_once_it_is_ready_and_back():
    cluster, loader = Changing("v1"), Loader(held=True)
    releases = InlineReleases(loader)
    traffic = table(arithmetic={"traffic": {"v1": 100}})
    async with plane_of(cluster, traffic, inline=releases) as plane:
        plane.configure(inline({"v2": 100}, v2=SOURCE))
        await plane.directory.refresh()
        assert (await plane.infer(ask())).model_version == "v1"  # old stays until new is ready
        assert not plane.is_settled()
        with pytest.raises(ModelNotReady, match="it is being loaded in the gateway"):
            await plane.infer(ask(version="v2"))
        loader.go.set()
        await until(lambda: plane.directory.versions("arithmetic")[-1].state is ReleaseState.READY)
        assert plane.is_settled()
        answer = await plane.infer(ask(2))
        assert (answer.model_version, answer.outputs["total"].tolist()) == ("v2", [6])
        plane.configure({"models": {"arithmetic": {"traffic": {"v1": 100}}}})
        await closed(loader, V2, plane)
        assert (await plane.infer(ask())).model_version == "v1"


async def test_a_table_that_changes_a_release_is_refused_and_says_so():
    async with plane_of(
        Changing(),
        table(arithmetic={"traffic": {"v1": 100}, "inline": {"v1": SOURCE}}),
        inline=InlineReleases(Loader()),
    ) as plane:
        plane.configure(inline({"v1": 50, "v2": 50}, v1={"source": "t"}, v2=SOURCE))
        assert "a changed release is a new version" in plane.table_fault
        await until(plane.directory.is_ready)
        assert (await plane.infer(ask())).model_version == "v1"
        plane.configure(inline({"v1": 100}, v1=SOURCE))
        assert plane.table_fault == ""


async def test_a_version_that_moves_between_the_gateway_and_an_application_answers_all_the_way():
    cluster, loader = Changing("v1"), Loader()
    async with plane_of(cluster, table(arithmetic={"traffic": {"v1": 100}}), inline=InlineReleases(loader)) as plane:
        apart = plane.directory.resolve("arithmetic", "v1", 0.0)
        plane.configure(inline({"v1": 100}, v1=SOURCE))
        assert (await plane.infer(ask())).model_version == "v1"
        await until(lambda: plane.directory.resolve("arithmetic", "v1", 0.0).is_inline)
        assert not apart.is_inline
        del cluster.ready[V1]
        await plane.directory.refresh()
        assert (await plane.infer(ask(2))).outputs["total"].tolist() == [6]
        plane.configure({"models": {"arithmetic": {"traffic": {"v1": 100}}}})
        await plane.directory.refresh()
        assert (await plane.infer(ask(3))).outputs["total"].tolist() == [9]  # in use as long as nothing else is there
        assert loader.closed == []
        cluster.ready[V1] = Executor("v1")
        await closed(loader, V1, plane)
        assert (await plane.infer(ask(4))).outputs["total"].tolist() == [12]


async def test_requests_at_the_time_of_a_removal_are_answered():
    cluster, loader = Changing("v1"), Loader()
    traffic = table(arithmetic={"traffic": {"v2": 100}, "inline": {"v2": SOURCE}})
    async with plane_of(cluster, traffic, inline=InlineReleases(loader)) as plane:
        await until(plane.directory.is_ready)
        under_way = [asyncio.create_task(plane.infer(ask(value))) for value in range(50)]
        await asyncio.sleep(0)
        plane.configure({"models": {"arithmetic": {"traffic": {"v1": 100}}}})
        await closed(loader, V2, plane)
        answers = [(await task).outputs["total"].tolist() for task in under_way]
    assert answers == [[3 * value] for value in range(50)]


async def test_inline_and_apart_answer_alike(tmp_path):
    write_version(tmp_path / "v1", doubling(), {})
    source = str(tmp_path / "v1")
    apart = BlockServer.load(ReleaseArgs(model="double", version="apart", source=source), NoMetrics())
    versions = {"traffic": {"v1": 50, "apart": 50}, "inline": {"v1": {"source": source, "slo_ms": 5000}}}
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3, 4.5]}]}
    async with plane_of(LocalCluster(apart), table(double=versions)) as plane, client_of(plane) as http:
        await until(lambda: all(one.state is ReleaseState.READY for one in plane.directory.versions("double")))
        answers = [await http.post(f"/v2/models/double/versions/{tag}/infer", json=body) for tag in ("v1", "apart")]
        statistics = (await http.get("/v2/models/double/versions/v1/stats")).json()
        metadata = (await http.get("/v2/models/double/versions/v1")).json()
    apart.close()
    assert [answer.headers["x-model-version"] for answer in answers] == ["v1", "apart"]
    assert answers[0].json()["outputs"] == answers[1].json()["outputs"]
    assert answers[0].json()["outputs"][0]["data"] == [2, 4, 6, 9]
    assert statistics["model_stats"][0]["inference_stats"]["success"]["count"] == 1
    assert metadata["inputs"][0]["name"] == "x"
